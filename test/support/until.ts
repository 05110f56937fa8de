import { setTimeout as pause } from "node:timers/promises";
import { messageOf } from "../../kernel/errors.ts";

const POLL_MS = 20;

/**
 * Polls `probe` until what it gives is truthy, and gives that. A probe that throws counts as "not yet". Throws with
 * the description, and with the last error, once the time is up, and with the reason of `signal` when that aborts.
 */
export async function until<T>(
  describe: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 15_000, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<NonNullable<Exclude<T, false | 0 | "">>> {
  const deadline = performance.now() + timeoutMs;
  let last = "";
  for (;;) {
    signal?.throwIfAborted();
    try {
      const value = await probe();
      if (value) return value as NonNullable<Exclude<T, false | 0 | "">>;
      last = "";
    } catch (error) {
      last = `; it last failed with: ${messageOf(error)}`;
    }
    if (performance.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${describe}${last}`);
    await pause(POLL_MS);
  }
}
