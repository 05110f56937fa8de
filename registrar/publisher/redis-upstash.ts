import { Redis } from "@upstash/redis";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import { isUnknownScript, redisRefusal, redisUnreachable, scriptHash, timeReplyMs } from "./redis-errors.ts";
import type { SnapshotStore } from "./store.ts";

/**
 * Of one request, 1 MiB of snapshots included. Lower, and a slow line never finishes a chunk; higher, and a dead
 * connection holds up publishing for as long.
 */
const REQUEST_TIMEOUT_MS = 5000;

export interface UpstashStoreOptions {
  /** Of the REST API, or of the gateway. */
  readonly url: string;
  readonly token: string;
}

/** Redis over Upstash's REST protocol. Rejects with `unavailable`, without a retry of its own. */
export function createUpstashStore({ url, token }: UpstashStoreOptions): SnapshotStore {
  const redis = new Redis({
    url,
    token,
    enableAutoPipelining: false,
    enableTelemetry: false,
    readYourWrites: false,
    responseEncoding: false,
    automaticDeserialization: false,
    retry: { retries: 0 },
    // A function: given a signal itself, the client answers a timeout with null, like a key that is not there.
    signal: () => AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });

  async function call<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      // Neither the error nor its text goes on: it holds the whole command.
      const name = error instanceof Error ? error.name : "";
      if (name === "TimeoutError") throw redisUnreachable(`no answer within ${REQUEST_TIMEOUT_MS} ms`);
      if (name === "UpstashError" && /^(unauthorized|wrongpass)/i.test(messageOf(error))) {
        throw new FingerpostError("unavailable", "Redis refused the token.");
      }
      if (name === "UpstashError") throw redisRefusal(messageOf(error));
      if (name === "UpstashJSONParseError") throw redisUnreachable("the answer is not of Upstash's protocol");
      throw redisUnreachable("the request failed");
    }
  }

  return {
    timeMs: () => call(async () => timeReplyMs(await redis.time())),
    evaluate: (script, keys, args) =>
      call(async () => {
        try {
          return await redis.evalsha(scriptHash(script), [...keys], [...args]);
        } catch (error) {
          if (!isUnknownScript(messageOf(error))) throw error;
          return redis.eval(script, [...keys], [...args]);
        }
      }),
    close: () => Promise.resolve(),
  };
}
