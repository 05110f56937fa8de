import { sleep, type Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Lookup } from "../lookup/lookups.ts";
import type { Seat } from "./seats.ts";
import type { Sight } from "./sight.ts";

/** The part of `wait` by which an answer may come sooner, so that callers who began together do not return together. */
const JITTER = 1 / 16;

/** Whether a lookup answers a long poll at once. */
export function answersPoll(lookup: Lookup, after: number | undefined): boolean {
  if (lookup.type === "found") return after === undefined || lookup.held.snapshot.revision > after;
  // Whoever has seen nothing yet may wait for the service to appear. To others its end is the news.
  return lookup.type === "nothing" || after !== 0;
}

export interface PollOptions {
  readonly sight: Sight;
  readonly seat: Seat;
  readonly clock: Clock;
  readonly random: Random;
  /** What the first look found. */
  readonly first: Lookup;
  /** The revision that the caller has seen. */
  readonly after: number;
  readonly waitMs: number;
  /** Aborts when the caller has gone, where the platform tells. */
  readonly signal: AbortSignal;
  readonly closing: () => boolean;
}

/** What is known once it answers the poll, or else when the time is up. */
export async function poll(options: PollOptions): Promise<Lookup> {
  const { sight, seat, clock, random, after, waitMs, signal, closing } = options;
  let lookup = options.first;
  const until = clock.monotonic() + waitMs * (1 - random() * JITTER);
  try {
    for (;;) {
      const remainingMs = until - clock.monotonic();
      if (remainingMs > 0) await sleep(clock, Math.min(sight.nextMs(), remainingMs), signal);
      seat.stay();
      lookup = (await sight.look()) ?? lookup;
      const over = signal.aborted || closing() || clock.monotonic() >= until;
      if (over || answersPoll(lookup, after)) return lookup;
    }
  } finally {
    seat.leave();
  }
}
