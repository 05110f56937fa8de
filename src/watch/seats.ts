import type { Clock } from "../../kernel/clock.ts";

/**
 * A watcher that has not looked for this long is gone: three times what lies between two looks at most. On Workers a
 * client that goes away may end its request without a word, so a seat is a lease and not a count.
 */
const SILENT_MS_MAX = 15_000;
/** The part of the seats that is kept for callers who hold few, so that no caller takes another's first ones. */
const KEPT = 1 / 4;
/** How many are few, unless all that is kept is less. */
const FEW = 16;

/** The place of one watcher. */
export interface Seat {
  /** Says that the watcher is still there. */
  stay(): void;
  leave(): void;
}

/** Bounds the watchers of an isolate: each holds a request open, and its memory with it. */
export interface Seats {
  /** `caller`: the name of who is to have it. Undefined when all are taken that this caller may have. */
  take(caller: string): Seat | undefined;
}

export function createSeats(clock: Pick<Clock, "monotonic">, countMax: number): Seats {
  const taken = new Set<{ readonly caller: string; seenAt: number }>();
  const kept = Math.floor(countMax * KEPT);
  const few = Math.min(FEW, kept);

  /** Drops who is silent, and counts what the caller holds. */
  function heldBy(caller: string): number {
    const now = clock.monotonic();
    let held = 0;
    for (const one of taken) {
      if (now - one.seenAt > SILENT_MS_MAX) taken.delete(one);
      else if (one.caller === caller) held++;
    }
    return held;
  }

  return {
    take(caller) {
      // Only where seats are scarce is it looked who has them.
      const held = taken.size < countMax - kept ? 0 : heldBy(caller);
      if (taken.size >= countMax - (held < few ? 0 : kept)) return undefined;
      const one = { caller, seenAt: 0 };
      const seat: Seat = {
        stay() {
          one.seenAt = clock.monotonic();
          taken.add(one);
        },
        leave: () => void taken.delete(one),
      };
      seat.stay();
      return seat;
    },
  };
}
