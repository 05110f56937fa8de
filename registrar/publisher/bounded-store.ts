import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import type { SnapshotStore } from "./store.ts";

/** The longest that we stay away at a service's word: one that asks for more is asked again after this. */
export const WAIT_ASKED_MS_MAX = 60_000;

/**
 * Passes at most `concurrencyMax` calls at a time to `store`; the rest wait in order, each caller with one call. After an
 * answer that asks to wait (`retryAfterSeconds`) nothing is passed for that long: calls are rejected with that answer.
 */
export function boundStore(
  store: SnapshotStore,
  concurrencyMax: number,
  clock: Pick<Clock, "monotonic">,
): SnapshotStore {
  let free = concurrencyMax;
  const waiting: (() => void)[] = [];
  let busy: { readonly untilMs: number; readonly error: FingerpostError } | undefined;

  async function run<T>(call: () => Promise<T>): Promise<T> {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      if (busy && clock.monotonic() < busy.untilMs) throw busy.error;
      return await call();
    } catch (error) {
      if (error instanceof FingerpostError && error.retryAfterSeconds !== undefined && error !== busy?.error) {
        const waitMs = Math.min(error.retryAfterSeconds * 1000, WAIT_ASKED_MS_MAX);
        busy = { untilMs: clock.monotonic() + waitMs, error };
      }
      throw error;
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
