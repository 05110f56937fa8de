import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";

const BACKOFF = { baseMs: 250, capMs: 4000 };

export interface TryingOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** No attempt begins after this. */
  readonly timeoutMs: number;
  /** The registrar is closed. */
  readonly closing: AbortSignal;
}

/** Tries again, with backoff, what rejects as `unavailable`; any other error, and the last one in time, is passed on. */
export async function trying(
  { clock, random, timeoutMs, closing }: TryingOptions,
  attempt: () => Promise<unknown>,
): Promise<void> {
  const backoff = createBackoff({ ...BACKOFF, random });
  const deadlineMs = clock.monotonic() + timeoutMs;
  for (;;) {
    if (closing.aborted) {
      throw new FingerpostError("unavailable", "This registrar is closed: register before close.");
    }
    try {
      await attempt();
      return;
    } catch (error) {
      const delayMs = backoff.next();
      const isWorthIt = error instanceof FingerpostError && error.code === "unavailable";
      if (!isWorthIt || clock.monotonic() + delayMs >= deadlineMs) throw error;
      await sleep(clock, delayMs, closing);
    }
  }
}
