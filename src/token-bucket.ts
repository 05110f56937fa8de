import type { Clock } from "../kernel/clock.ts";

export interface TokenBucketOptions {
  readonly clock: Clock;
  /** Tokens that come back each second. */
  readonly ratePerSecond: number;
  /** Tokens that can be saved up, and that are there at the start. */
  readonly burst: number;
}

/** Bounds how often something is done. Nobody waits for a token: what gets none is not done. */
export interface TokenBucket {
  take(): boolean;
}

export function createTokenBucket({ clock, ratePerSecond, burst }: TokenBucketOptions): TokenBucket {
  let tokens = burst;
  let filledAt = clock.monotonic();
  return {
    take() {
      const now = clock.monotonic();
      tokens = Math.min(burst, tokens + ((now - filledAt) * ratePerSecond) / 1000);
      filledAt = now;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
