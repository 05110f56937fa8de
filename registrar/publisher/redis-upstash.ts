import { commandRequest, parseCommandReply } from "../../contract/upstash.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import {
  answerTimeoutMs,
  isUnknownScript,
  redisBusy,
  redisRefusal,
  redisTooLarge,
  redisUnreachable,
  scriptHash,
  timeReplyMs,
} from "./redis-errors.ts";
import type { SnapshotStore } from "./store.ts";

/** Of a small request. Lower, and a slow moment fails it; higher, and a dead connection holds up publishing as long. */
const REQUEST_TIMEOUT_MS = 5000;
/** Where a service says that it is busy, and not for how long. */
const RETRY_AFTER_SECONDS_DEFAULT = 1;

export interface UpstashStoreOptions {
  /** Of the REST API, or of the gateway. */
  readonly url: string;
  readonly token: string;
}

/**
 * Redis over Upstash's REST protocol. Rejects with `unavailable`, without a retry of its own, and says when a service
 * asks to wait (429 or 503, Retry-After). Upstash's client is not used here, because it drops the status and the headers
 * of an answer.
 */
export function createUpstashStore({ url, token }: UpstashStoreOptions): SnapshotStore {
  async function send(body: string): Promise<{ readonly response: Response; readonly text: string }> {
    const timeoutMs = answerTimeoutMs(REQUEST_TIMEOUT_MS, body.length);
    try {
      const response = await fetch(url, commandRequest(token, body, timeoutMs));
      return { response, text: await response.text() };
    } catch (error) {
      const isTimeout = error instanceof Error && error.name === "TimeoutError";
      throw redisUnreachable(url, isTimeout ? "no answer in time" : "the request failed");
    }
  }

  /** No error tells of the command or of the answer, since both may hold registrations. */
  async function call(command: readonly string[]): Promise<unknown> {
    const { response, text } = await send(JSON.stringify(command));
    const { status } = response;
    if (status === 401) throw new FingerpostError("unavailable", "Redis refused the token.");
    if (status === 413) throw redisTooLarge();
    if (status === 429 || (status === 503 && response.headers.has("retry-after")))
      throw redisBusy(status, retryAfterSeconds(response.headers));
    const answer = parseCommandReply(text);
    if (typeof answer.error === "string") throw new CommandError(answer.error);
    if (!response.ok || !("result" in answer)) {
      throw redisUnreachable(url, `the answer is not of Upstash's protocol (HTTP ${status})`);
    }
    return answer.result;
  }

  const refused = (error: unknown) => (error instanceof CommandError ? redisRefusal(error.message) : error);

  return {
    async timeMs() {
      const reply = await call(["TIME"]).catch((error: unknown) => Promise.reject(refused(error) as Error));
      return timeReplyMs(Array.isArray(reply) ? reply : []);
    },
    async evaluate(script, keys, args) {
      const rest = [String(keys.length), ...keys, ...args];
      try {
        return await call(["EVALSHA", scriptHash(script), ...rest]).catch((error: unknown) => {
          if (!(error instanceof CommandError) || !isUnknownScript(error.message)) throw error;
          return call(["EVAL", script, ...rest]);
        });
      } catch (error) {
        throw refused(error);
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Redis' own answer to a command, as text. */
class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Seconds, or a date (RFC 9110), which is read by the clock of whoever wrote it. */
function retryAfterSeconds(headers: Headers): number {
  const value = headers.get("retry-after") ?? "";
  const seconds = /^\d+$/.test(value)
    ? Number(value)
    : Math.ceil((Date.parse(value) - Date.parse(headers.get("date") ?? "")) / 1000);
  return Number.isSafeInteger(seconds) && seconds >= 0 ? seconds : RETRY_AFTER_SECONDS_DEFAULT;
}
