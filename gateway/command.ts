import { FingerpostError } from "../kernel/errors.ts";
import { ARGUMENTS_MAX, COMMANDS_MAX } from "./limits.ts";

/** A command and its arguments: text, or bytes where they came as the body of a path form. Never empty. */
export type Command = readonly [name: string, ...args: (string | Buffer)[]];

/** Reads the body of `POST /`. Throws `invalid_argument`. */
export function parseCommand(body: Uint8Array): Command {
  const json = parseJson(body);
  if (!Array.isArray(json)) throw invalid("write the command as a JSON array of its name and arguments");
  return toCommand(json, json.length);
}

/** Reads the body of `POST /pipeline` and `POST /multi-exec`. Throws `invalid_argument`. */
export function parseCommands(body: Uint8Array): Command[] {
  const json = parseJson(body);
  if (!Array.isArray(json)) throw invalid("write the commands as a JSON array of arrays");
  if (json.length === 0) throw invalid("there is no command in it");
  if (json.length > COMMANDS_MAX) throw invalid(`there are more than ${COMMANDS_MAX} commands in it`);
  let args = 0;
  return json.map((element: unknown, index) => {
    if (!Array.isArray(element)) throw invalid(`command ${index + 1} is not an array`);
    args += element.length;
    return toCommand(element, args);
  });
}

/**
 * Reads the path form, `/set/key/value?EX=100`: the segments, then the body if there is one, then names and values of
 * the query. Throws `invalid_argument`.
 */
export function parsePath(url: URL, body: Uint8Array): Command {
  const segments = url.pathname.replace(/^\//, "").split("/");
  const args: (string | Buffer)[] = segments.map(decodeSegment);
  if (body.length > 0) args.push(Buffer.from(body));
  for (const [name, value] of url.searchParams) {
    args.push(name);
    if (value !== "") args.push(value);
  }
  const [name, ...rest] = args;
  if (typeof name !== "string" || name === "") throw invalid("it is empty");
  return [name, ...rest];
}

function toCommand(elements: readonly unknown[], argsOfRequest: number): Command {
  if (argsOfRequest > ARGUMENTS_MAX) throw invalid(`there are more than ${ARGUMENTS_MAX} arguments in it`);
  const [name, ...args] = elements.map(toArgument);
  if (name === undefined || name === "") throw invalid("it is empty");
  return [name, ...args];
}

function toArgument(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw invalid("an argument must be a string, a number or a boolean");
}

function parseJson(body: Uint8Array): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    return hasLargeNumber(text) ? JSON.parse(text, keepDigits) : JSON.parse(text);
  } catch (cause) {
    throw invalid("the body is not JSON in UTF-8", cause);
  }
}

/**
 * Whether a number too long for a double may be in it. Most bodies have none, and a parse that keeps the digits costs
 * several times a plain one.
 */
function hasLargeNumber(text: string): boolean {
  return /[[,]\s*-?\d{16}/.test(text);
}

/** A whole number beyond 2^53 goes to Redis with the digits it was written with, not rounded to a double. */
function keepDigits(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? "";
  return /^-?\d+$/.test(source) ? source : value;
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw invalid("its path is not percent-encoded UTF-8", cause);
  }
}

function invalid(reason: string, cause?: unknown): FingerpostError {
  return new FingerpostError("invalid_argument", `failed to parse the command: ${reason}`, { cause });
}
