import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { createBoundedMap } from "../memory/bounded-map.ts";
import type { Background } from "../lookup/flight.ts";
import type { ResolverLog } from "../log.ts";
import { createTokenBucket, type TokenBucket } from "../token-bucket.ts";
import type { Caller } from "./caller.ts";

/** Callers that are counted. Whoever is dropped for others begins anew, in favour of the caller. */
const CALLERS_MAX = 10_000;
/** How long the platform's refusal of a caller holds before it is asked again. */
const REFUSED_MS = 1000;
/** By then either limit lets a request through again, or is asked again. */
const RETRY_AFTER_SECONDS = 1;

/** The platform's own limit, counted over more than one isolate: whether one more request of `key` is within it. */
export interface RateLimiter {
  limit(key: string): Promise<boolean>;
}

/** How much one caller may ask: in one isolate, by the platform, or both. What is left out does not limit. */
export interface RateLimitRule {
  /** Requests a second, with as many at once after a pause. */
  readonly perSecond?: number | undefined;
  readonly limiter?: RateLimiter | undefined;
}

export interface RateLimit {
  /** Counts a request of an admitted caller. Throws `resource_exhausted`. */
  take(caller: Caller, background: Background): void;
}

export interface RateLimitOptions extends RateLimitRule {
  readonly clock: Clock;
  readonly log: ResolverLog;
}

/**
 * Undefined when nothing is limited, so that it costs nothing. It never waits: the platform's limiter is asked behind
 * the answer, and what it says holds for the requests that follow. It counts approximately in any case, and an answer
 * from memory takes less time than asking it.
 */
export function createRateLimit({ perSecond, limiter, clock, log }: RateLimitOptions): RateLimit | undefined {
  if (perSecond === undefined && !limiter) return undefined;
  const buckets = createBoundedMap<string, TokenBucket>({ entriesMax: CALLERS_MAX });
  const refusedUntil = createBoundedMap<string, number>({ entriesMax: CALLERS_MAX });
  let failing = false;

  function bucketOf(name: string, ratePerSecond: number): TokenBucket {
    const known = buckets.peek(name);
    if (known) return known;
    const bucket = createTokenBucket({ clock, ratePerSecond, burst: ratePerSecond });
    buckets.set(name, bucket);
    return bucket;
  }

  async function ask(name: string, platform: RateLimiter): Promise<void> {
    try {
      if (!(await platform.limit(name))) refusedUntil.set(name, clock.monotonic() + REFUSED_MS);
      failing = false;
    } catch (error) {
      // A limiter that is away must not take the resolver with it.
      if (!failing) log.warn({ reason: nameOf(error) }, "the platform's rate limiter failed: nothing is limited by it");
      failing = true;
    }
  }

  return {
    take({ name }, background) {
      if (limiter) {
        if (clock.monotonic() < (refusedUntil.peek(name) ?? -Infinity)) throw exhausted(name);
        background(ask(name, limiter));
      }
      if (perSecond !== undefined && !bucketOf(name, perSecond).take()) throw exhausted(name);
    },
  };
}

function exhausted(name: string): FingerpostError {
  return new FingerpostError("resource_exhausted", `"${name}" asks more often than it may.`, {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}

/** A platform's messages are not ours to show. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "Error";
}
