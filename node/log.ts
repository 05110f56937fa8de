import { pino, type Logger } from "pino";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** One line, for whoever takes them instead of standard error. */
export interface LogLine {
  readonly level: Exclude<LogLevel, "silent">;
  readonly message: string;
  /** What it is about: structured, and without secrets. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const REDACTED = ["*.password", "*.token", "password", "token", "authorization", "*.authorization"];

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
      redact: REDACTED,
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** The same lines, of level `debug` and above, to a function; to nobody without one. */
export function createLogTo(name: string, onLog: ((line: LogLine) => void) | undefined): Log {
  if (!onLog) return pino({ name, level: "silent" });
  return pino(
    {
      name,
      level: "debug",
      base: null,
      timestamp: false,
      redact: REDACTED,
      formatters: { level: (level) => ({ level }) },
    },
    {
      write(text: string) {
        const { level, name: _name, msg, ...fields } = JSON.parse(text) as LogLine & { name: string; msg: string };
        onLog({ level, message: msg, fields });
      },
    },
  );
}
