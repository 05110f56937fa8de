import { sleep, systemClock } from "../../../kernel/clock.ts";

/**
 * Does something again and again. What it gives stops that, waits for the one under way, and rejects with the first
 * error of all, so that a fault that did not happen is told.
 */
export function repeat(everyMs: number, task: () => Promise<void>): () => Promise<void> {
  const stop = new AbortController();
  const running = (async () => {
    while (!stop.signal.aborted) {
      await task();
      await sleep(systemClock, everyMs, stop.signal);
    }
  })();
  // Looked at when it is stopped; until then it must not count as unhandled.
  running.catch(() => undefined);
  return () => {
    stop.abort();
    return running;
  };
}
