import type { Random } from "./random.ts";

export interface BackoffOptions {
  /** The ceiling of the first delay. Too low: a storm of retries. Too high: a short fault costs more than it lasted. */
  readonly baseMs: number;
  /** The ceiling of every delay. */
  readonly capMs: number;
  readonly random: Random;
}

export interface Backoff {
  /** The next delay in milliseconds; each call doubles the ceiling it is drawn below. */
  next(): number;
  /** Starts over, after a success. */
  reset(): void;
}

/**
 * Exponential backoff with full jitter, so that a crowd which failed together does not return together
 * (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
export function createBackoff({ baseMs, capMs, random }: BackoffOptions): Backoff {
  let ceilingMs = baseMs;
  return {
    next() {
      const delayMs = random() * ceilingMs;
      ceilingMs = Math.min(capMs, ceilingMs * 2);
      return delayMs;
    },
    reset() {
      ceilingMs = baseMs;
    },
  };
}
