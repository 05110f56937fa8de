import { MGET_KEYS_MAX, type ReadStore } from "../../src/store/redis.ts";
import type { Write } from "./publish.ts";

export interface FakeStore extends ReadStore {
  /** What the store answers from; a lagging replica keeps a copy. */
  values: Map<string, string>;
  readonly write: Write;
  /** The keys of each request so far. */
  readonly requests: (readonly string[])[];
  /** Set: every request rejects. */
  failing: boolean;
  /** Set: requests wait until `release`. */
  holding: boolean;
  /** Answers what is held. */
  release(): void;
}

/**
 * A store for what a real Redis cannot be made to do on demand: to lag, to go back in time, or to answer in a given
 * order. test/resolver/workerd.test.ts runs on the real one.
 */
export function createFakeStore(): FakeStore {
  let held: (() => void)[] = [];
  const store: FakeStore = {
    timeoutMs: 2000,
    values: new Map(),
    write(values) {
      for (const [key, value] of Object.entries(values)) store.values.set(key, value);
    },
    requests: [],
    failing: false,
    holding: false,
    release() {
      store.holding = false;
      for (const answer of held.splice(0)) answer();
      held = [];
    },
    async get(key) {
      const [value] = await store.mget([key]);
      return value;
    },
    async mget(keys) {
      if (keys.length > MGET_KEYS_MAX) throw new RangeError("too many keys");
      store.requests.push(keys);
      if (store.holding) await new Promise<void>((resolve) => held.push(resolve));
      if (store.failing) throw new Error("connection refused");
      return keys.map((key) => store.values.get(key));
    },
  };
  return store;
}
