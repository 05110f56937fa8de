import type { SnapshotStore } from "./store.ts";

/** Passes at most `concurrencyMax` calls at a time to `store`; the rest wait in order, each caller with one call. */
export function boundStore(store: SnapshotStore, concurrencyMax: number): SnapshotStore {
  let free = concurrencyMax;
  const waiting: (() => void)[] = [];

  async function run<T>(call: () => Promise<T>): Promise<T> {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await call();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  }

  return {
    timeMs: () => run(() => store.timeMs()),
    evaluate: (script, keys, args) => run(() => store.evaluate(script, keys, args)),
    close: () => store.close(),
  };
}
