import { pino, type Logger } from "pino";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Structured lines (JSON, one a line) on standard error; standard output belongs to what a command was asked for.
 * Known secret fields are cut out here as a second line of defence; the first is not to log them.
 */
export function createLog(name: string, level: LogLevel): Log {
  return pino(
    {
      name,
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: ["*.password", "*.token", "password", "token", "authorization", "*.authorization"],
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
