import { Redis } from "@upstash/redis/cloudflare";
import { FingerpostError } from "../../kernel/errors.ts";

/** Keys of one MGET: a bound on what one answer can weigh. */
export const MGET_KEYS_MAX = 65;

/**
 * What the resolver asks of Redis. A call makes one request, ends within the store's timeout, and rejects with
 * `unavailable` for whatever is not a proper answer: only what Redis itself calls missing comes back as undefined.
 */
export interface ReadStore {
  get(key: string): Promise<string | undefined>;
  /** In the order of `keys`, of which there are at most MGET_KEYS_MAX. */
  mget(keys: readonly string[]): Promise<readonly (string | undefined)[]>;
}

export interface UpstashStoreOptions {
  readonly url: string;
  readonly token: string;
  /** Bounds each request. */
  readonly timeoutMs: number;
}

/** Redis over Upstash's REST protocol. */
export function createUpstashStore({ url, token, timeoutMs }: UpstashStoreOptions): ReadStore {
  // Retries, batching and telemetry are off: the callers coalesce, and have a breaker. The signal is a function, since
  // the client takes an aborted signal object for a missing key.
  const redis = new Redis({
    url,
    token,
    automaticDeserialization: false,
    enableAutoPipelining: false,
    enableTelemetry: false,
    readYourWrites: false,
    responseEncoding: false,
    retry: { retries: 0 },
    signal: () => AbortSignal.timeout(timeoutMs),
  });
  return {
    async get(key) {
      return stringOrMissing(await answered(redis.get<unknown>(key)));
    },
    async mget(keys) {
      if (keys.length > MGET_KEYS_MAX) throw new RangeError(`an MGET of ${keys.length} keys`);
      const values: unknown = await answered(redis.mget<unknown[]>([...keys]));
      if (!Array.isArray(values) || values.length !== keys.length) throw unexpectedAnswer();
      return values.map(stringOrMissing);
    },
  };
}

async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    // The client's messages hold the command, and may hold what was answered: only the error's name goes on.
    const name = error instanceof Error ? error.name : "Error";
    throw new FingerpostError("unavailable", `Redis did not answer (${name}).`, { retryAfterSeconds: 1 });
  }
}

function stringOrMissing(value: unknown): string | undefined {
  if (value === null) return undefined;
  if (typeof value === "string") return value;
  throw unexpectedAnswer();
}

function unexpectedAnswer(): FingerpostError {
  return new FingerpostError("unavailable", "Redis gave an answer of an unexpected form.", { retryAfterSeconds: 1 });
}
