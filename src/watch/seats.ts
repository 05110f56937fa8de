import type { Clock } from "../../kernel/clock.ts";

/**
 * A watcher that has not looked for this long is gone: three times what lies between two looks at most. On Workers a
 * client that goes away may end its request without a word, so a seat is a lease and not a count.
 */
const SILENT_MS_MAX = 15_000;

/** The place of one watcher. */
export interface Seat {
  /** Says that the watcher is still there. */
  stay(): void;
  leave(): void;
}

/** Bounds the watchers of an isolate: each holds a request open, and its memory with it. */
export interface Seats {
  /** Undefined when all are taken. */
  take(): Seat | undefined;
}

export function createSeats(clock: Pick<Clock, "monotonic">, countMax: number): Seats {
  const seenAt = new Map<Seat, number>();

  function dropSilent(): void {
    const now = clock.monotonic();
    for (const [seat, at] of seenAt) if (now - at > SILENT_MS_MAX) seenAt.delete(seat);
  }

  return {
    take() {
      if (seenAt.size >= countMax) dropSilent();
      if (seenAt.size >= countMax) return undefined;
      const seat: Seat = {
        stay: () => void seenAt.set(seat, clock.monotonic()),
        leave: () => void seenAt.delete(seat),
      };
      seat.stay();
      return seat;
    },
  };
}
