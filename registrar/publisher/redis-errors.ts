import { createHash } from "node:crypto";
import { refusalText } from "../../contract/upstash.ts";
import { FingerpostError } from "../../kernel/errors.ts";

/** Redis' answer of an error, as only its code: the rest of the text may quote registrations. */
export function redisRefusal(message: string): FingerpostError {
  if (/max (request|single record|record) size exceeded/i.test(message)) return redisTooLarge();
  return new FingerpostError("unavailable", refusalText(message));
}

/** Redis' answer that the request is larger than it takes. Trying it again does not help. */
export function redisTooLarge(): FingerpostError {
  return new FingerpostError(
    "invalid_argument",
    "Redis refused a request for its size. Raise its limit, or register the instances under several services.",
  );
}

/** The service that Redis is behind asks to wait. The text is always the same, so that it is told once. */
export function redisBusy(status: number, retryAfterSeconds: number): FingerpostError {
  const options = { retryAfterSeconds };
  return new FingerpostError("unavailable", `Redis asks to wait before the next request (HTTP ${status}).`, options);
}

export function isTooLarge(error: unknown): boolean {
  return error instanceof FingerpostError && error.code === "invalid_argument";
}

/** Names host and port of `url`, and never what else it holds: user, password, a path that may be a secret. */
export function redisUnreachable(url: string, reason: string): FingerpostError {
  // One that is none fails the request, and Node's own error would quote it.
  if (!URL.canParse(url)) return new FingerpostError("unavailable", "Redis cannot be reached: its URL is none.");
  const { protocol, host, port } = new URL(url);
  const where = port === "" && /^rediss?:$/.test(protocol) ? `${host}:${REDIS_PORT}` : host;
  return new FingerpostError("unavailable", `Redis at ${where} cannot be reached: ${reason}.`);
}

const REDIS_PORT = 6379;

/** What a line carries at least: a request of megabytes may take longer by so much. Bytes in a millisecond. */
const LINE_BYTES_PER_MS_MIN = 1000;

/** How long a request of `bytes` may take, where a small one may take `smallMs`. */
export function answerTimeoutMs(smallMs: number, bytes: number): number {
  return smallMs + Math.ceil(bytes / LINE_BYTES_PER_MS_MIN);
}

/** Whether `message` is that of an EVALSHA whose script Redis does not know. */
export function isUnknownScript(message: string): boolean {
  return message.startsWith("NOSCRIPT");
}

/** As Redis names a script. */
export function scriptHash(script: string): string {
  return createHash("sha1").update(script).digest("hex");
}

/** The answer of TIME, seconds and microseconds, in milliseconds. */
export function timeReplyMs(reply: readonly unknown[]): number {
  const ms = Number(reply[0]) * 1000 + Math.floor(Number(reply[1]) / 1000);
  if (!Number.isSafeInteger(ms)) throw new FingerpostError("internal", "Redis' TIME is not a time.");
  return ms;
}
