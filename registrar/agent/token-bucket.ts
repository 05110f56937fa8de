import { sleep, type Clock } from "../../kernel/clock.ts";

export interface TokenBucketOptions {
  readonly clock: Clock;
  /** Tokens that come back each second. */
  readonly ratePerSecond: number;
  /** Tokens that can be saved up, and that are there at the start. */
  readonly burst: number;
}

export interface TokenBucket {
  /** Resolves with the next token, in the order of the calls, or at once when `signal` aborts. */
  take(signal: AbortSignal): Promise<void>;
}

export function createTokenBucket({ clock, ratePerSecond, burst }: TokenBucketOptions): TokenBucket {
  let tokens = burst;
  let filledAtMs = clock.monotonic();
  return {
    async take(signal) {
      const nowMs = clock.monotonic();
      tokens = Math.min(burst, tokens + ((nowMs - filledAtMs) * ratePerSecond) / 1000);
      filledAtMs = nowMs;
      // Taken before the wait: a debt puts each later caller behind the earlier ones.
      tokens -= 1;
      if (tokens < 0) await sleep(clock, (-tokens / ratePerSecond) * 1000, signal);
    },
  };
}
