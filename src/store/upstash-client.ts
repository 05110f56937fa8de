import { systemClock, type Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { MGET_KEYS_MAX, STORE_TIMEOUT_MS_DEFAULT, type ReadStore } from "./redis.ts";
import { commandRefused, passes, storeError, valueOrMissing, valuesOrMissing } from "./values.ts";

/** What is used of a client of @upstash/redis. */
export interface UpstashClient {
  get(key: string): Promise<unknown>;
  mget(keys: string[]): Promise<unknown>;
  persist(key: string): Promise<unknown>;
}

export interface FromUpstashOptions {
  /** How long a call is waited for: 2,000 by default. The client's own retries go on behind it. */
  readonly timeoutMs?: number;
  /** The system's if left out. */
  readonly clock?: Clock;
}

/**
 * A store on a client of @upstash/redis that is there already; `createUpstashStore` needs none. Throws `invalid_argument`
 * for a client that
 *
 * - deserialises answers, which is its default: documents would come back as something else than was stored. Make it with
 *   `automaticDeserialization: false`;
 * - has an AbortSignal for `signal`: it takes what was aborted for a missing key. Make it with a function,
 *   `signal: () => AbortSignal.timeout(2000)`. Where the client does not show its options this cannot be told.
 *
 * `enableAutoPipelining: false`, `enableTelemetry: false`, `readYourWrites: false`, `responseEncoding: false` and
 * `retry: { retries: 0 }` spare what the resolver does by itself or has no use for.
 */
export function fromUpstash(client: UpstashClient, options: FromUpstashOptions = {}): ReadStore {
  const { timeoutMs = STORE_TIMEOUT_MS_DEFAULT, clock = systemClock } = options;
  refuseUnfit(client);

  async function answered(call: () => Promise<unknown>): Promise<unknown> {
    try {
      return await within(clock, timeoutMs, "Redis", call());
    } catch (error) {
      // The client's messages hold the command, and may hold what was answered: only Redis' code or a name goes on.
      if (!(error instanceof Error)) throw storeError("Redis did not answer.");
      const [, code] =
        error.name === "UpstashError" ? (/^(?:Command failed: )?([A-Z]{2,32}) /.exec(error.message) ?? []) : [];
      throw code === undefined ? storeError(`Redis did not answer (${error.name}).`) : commandRefused(code);
    }
  }

  return {
    timeoutMs,
    async get(key) {
      return valueOrMissing(serialised(await answered(() => client.get(key))));
    },
    async mget(keys) {
      if (keys.length > MGET_KEYS_MAX) throw new RangeError(`an MGET of ${keys.length} keys`);
      const values = valuesOf(await answered(() => client.mget([...keys])));
      return valuesOrMissing(values, keys.length);
    },
    mayWrite: (vacantKey) => passes(answered(() => client.persist(vacantKey))),
  };
}

const DESERIALISING = "The Redis client deserialises what it reads: make it with automaticDeserialization: false.";

function refuseUnfit(client: UpstashClient): void {
  // Whoever writes no types may hand over what is not there; all lookups would fail, as if Redis were down.
  if (typeof (client as UpstashClient | undefined)?.mget !== "function") {
    throw new FingerpostError("invalid_argument", "The Redis client is missing, or is none of @upstash/redis.");
  }
  // Not of its published types, yet where it keeps them; a client that keeps them elsewhere is judged by its answers.
  const { opts, client: http } = client as {
    readonly opts?: { readonly automaticDeserialization?: unknown };
    readonly client?: { readonly options?: { readonly signal?: unknown } };
  };
  if (opts && opts.automaticDeserialization !== false) throw new FingerpostError("invalid_argument", DESERIALISING);
  if (http?.options?.signal instanceof AbortSignal) {
    throw new FingerpostError(
      "invalid_argument",
      "The Redis client takes an aborted signal for a missing key: give it a function, signal: () => AbortSignal.timeout(2000).",
    );
  }
}

function valuesOf(values: unknown): unknown {
  return Array.isArray(values) ? values.map(serialised) : values;
}

/** A stored document is a JSON object: whoever answers one has parsed it. */
function serialised(value: unknown): unknown {
  if (typeof value === "object" && value !== null) throw storeError(DESERIALISING);
  return value;
}
