import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import type { SnapshotStore } from "./store.ts";

/** The longest that we stay away at a service's word: one that asks for more is asked again after this. */
export const WAIT_ASKED_MS_MAX = 60_000;

/**
 * Passes at most `concurrencyMax` calls at a time to `store`; the rest wait in order, each caller with one call. After an
 * answer that asks to wait (`retryAfterSeconds`) nothing is passed for that long: calls are rejected with that answer, which
 * then says how much of the wait is left. Told the whole of it, who comes a moment too early would wait once more.
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
      refuseWhileBusy();
      return await asked(call);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  }

  function refuseWhileBusy(): void {
    const leftMs = busy ? busy.untilMs - clock.monotonic() : 0;
    if (!busy || leftMs <= 0) return;
    const { code, message } = busy.error;
    throw new FingerpostError(code, message, { retryAfterSeconds: Math.ceil(leftMs / 1000), cause: busy.error });
  }

  async function asked<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof FingerpostError && error.retryAfterSeconds !== undefined) {
        const waitMs = Math.min(error.retryAfterSeconds * 1000, WAIT_ASKED_MS_MAX);
        busy = { untilMs: clock.monotonic() + waitMs, error };
      }
      throw error;
    }
  }

  return {
    timeMs: () => run(() => store.timeMs()),
    evaluate: (script, keys, args) => run(() => store.evaluate(script, keys, args)),
    close: () => store.close(),
  };
}
