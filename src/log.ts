/** Where the resolver says what an operator should know: one structured line each, without secrets. */
export interface ResolverLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A line of JSON each. */
export const consoleLog: ResolverLog = {
  info: (fields, message) => console.log(line("info", fields, message)),
  warn: (fields, message) => console.warn(line("warn", fields, message)),
  error: (fields, message) => console.error(line("error", fields, message)),
};

function line(level: string, fields: object, message: string): string {
  return JSON.stringify({ level, ...fields, message });
}
