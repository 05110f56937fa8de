import type { DeepStore } from "../../src/store/deep.ts";

export interface FakeDeep extends DeepStore {
  readonly values: Map<string, string>;
  /** The keys read and written so far. */
  readonly gets: string[];
  readonly puts: string[];
  /** Set: gets and puts never settle. */
  hanging: boolean;
  /** Set: puts reject, as where a plan's writes are used up. */
  refusing: boolean;
}

/** A deep store that counts, and fails on demand; KV itself is tested with in test/resolver/isolates.test.ts. */
export function createFakeDeep(): FakeDeep {
  const deep: FakeDeep = {
    values: new Map(),
    gets: [],
    puts: [],
    hanging: false,
    refusing: false,
    async get(key) {
      deep.gets.push(key);
      if (deep.hanging) await new Promise(() => undefined);
      return deep.values.get(key);
    },
    async put(key, text) {
      deep.puts.push(key);
      if (deep.hanging) await new Promise(() => undefined);
      if (deep.refusing) throw new Error("429 Too Many Requests");
      deep.values.set(key, text);
    },
  };
  return deep;
}
