import type { Cancel, Clock } from "../../kernel/clock.ts";

/** How late a deadline may come due. Shorter costs wake-ups, longer adds to the time of every departure. */
const TICK_MS = 250;
/** A gap between two ticks from which on this process counts as having been stopped, rather than slow. */
const PAUSE_MS = 5000;

export interface DeadlinesOptions {
  readonly clock: Clock;
  /** A deadline has passed. The key is no longer watched until `watch` is called for it again. */
  readonly onDue: (key: string) => void;
  /** The process stood still for `gapMs`; every deadline has started again. */
  readonly onPause: (gapMs: number) => void;
}

/**
 * Deadlines by key, on the monotonic clock. While a process is stopped it hears no heartbeat, so after a pause every
 * deadline starts again: its own silence must not count against the instances.
 */
export interface Deadlines {
  /** Starts a deadline `periodMs` from now, instead of the one there may be. */
  watch(key: string, periodMs: number): void;
  has(key: string): boolean;
  forget(key: string): void;
  size(): number;
  /** Watches nothing any more. */
  close(): void;
}

interface Deadline {
  atMs: number;
  periodMs: number;
  /** The tick in whose slot the key stands: at or before `atMs`, since a later deadline moves only `atMs`. */
  slot: number;
}

export function createDeadlines({ clock, onDue, onPause }: DeadlinesOptions): Deadlines {
  const deadlines = new Map<string, Deadline>();
  // One key is in one slot, so that a removal leaves nothing behind and memory follows the number of instances.
  const slots = new Map<number, Set<string>>();
  let cancelTick: Cancel | undefined;
  let tickedAtMs = 0;
  let slotDone = 0;
  let closed = false;

  function place(key: string, deadline: Deadline): void {
    deadline.slot = Math.max(slotDone + 1, Math.ceil(deadline.atMs / TICK_MS));
    const keys = slots.get(deadline.slot) ?? new Set();
    slots.set(deadline.slot, keys.add(key));
  }

  function unplace(key: string, { slot }: Deadline): void {
    const keys = slots.get(slot);
    keys?.delete(key);
    if (keys?.size === 0) slots.delete(slot);
  }

  function start(): void {
    if (cancelTick) return;
    tickedAtMs = clock.monotonic();
    slotDone = Math.floor(tickedAtMs / TICK_MS);
    cancelTick = clock.after(TICK_MS, tick);
  }

  function stop(): void {
    cancelTick?.();
    cancelTick = undefined;
  }

  function tick(): void {
    const nowMs = clock.monotonic();
    const gapMs = nowMs - tickedAtMs;
    tickedAtMs = nowMs;
    cancelTick = clock.after(TICK_MS, tick);
    if (gapMs >= PAUSE_MS) {
      startAgain(nowMs);
      onPause(gapMs);
      return;
    }
    const slotNow = Math.floor(nowMs / TICK_MS);
    const due: string[] = [];
    for (let slot = slotDone + 1; slot <= slotNow; slot++) {
      const keys = slots.get(slot);
      slots.delete(slot);
      slotDone = slot;
      for (const key of keys ?? []) {
        const deadline = deadlines.get(key);
        if (!deadline) continue;
        if (deadline.atMs > nowMs) {
          place(key, deadline);
        } else {
          deadlines.delete(key);
          due.push(key);
        }
      }
    }
    if (deadlines.size === 0) stop();
    for (const key of due) onDue(key);
  }

  function startAgain(nowMs: number): void {
    slots.clear();
    slotDone = Math.floor(nowMs / TICK_MS);
    for (const [key, deadline] of deadlines) {
      deadline.atMs = nowMs + deadline.periodMs;
      place(key, deadline);
    }
  }

  return {
    watch(key, periodMs) {
      if (closed) return;
      start();
      const atMs = clock.monotonic() + periodMs;
      const existing = deadlines.get(key);
      if (existing && atMs >= existing.atMs) {
        existing.atMs = atMs;
        existing.periodMs = periodMs;
        return;
      }
      if (existing) unplace(key, existing);
      const deadline = { atMs, periodMs, slot: 0 };
      deadlines.set(key, deadline);
      place(key, deadline);
    },

    has: (key) => deadlines.has(key),

    forget(key) {
      const deadline = deadlines.get(key);
      if (!deadline) return;
      unplace(key, deadline);
      deadlines.delete(key);
      if (deadlines.size === 0) stop();
    },

    size: () => deadlines.size,

    close() {
      closed = true;
      stop();
      deadlines.clear();
      slots.clear();
    },
  };
}
