import type { Clock } from "../../kernel/clock.ts";

/** Turns of the event loop after each step: promises that follow from a timer, and local I/O, get to run. */
const SETTLE_TURNS = 3;

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export interface ManualClock extends Clock {
  /** Moves time on, runs the timers that fall due in their order, and lets what follows from each settle. */
  advance(ms: number): Promise<void>;
}

/** A clock that stands still until a test moves it. Wall and monotonic time move together. */
export function createManualClock(startMs = Date.UTC(2026, 0, 1)): ManualClock {
  let elapsed = 0;
  // In the order of planning, which is also the order in which timers of one time run.
  const timers = new Set<Timer>();
  return {
    now: () => startMs + elapsed,
    monotonic: () => elapsed,
    after(delayMs, run) {
      const timer: Timer = { at: elapsed + Math.max(0, delayMs), run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const target = elapsed + ms;
      await settle();
      for (let timer = nextDue(timers, target); timer; timer = nextDue(timers, target)) {
        timers.delete(timer);
        elapsed = Math.max(elapsed, timer.at);
        timer.run();
        await settle();
      }
      elapsed = target;
      await settle();
    },
  };
}

function nextDue(timers: ReadonlySet<Timer>, target: number): Timer | undefined {
  let next: Timer | undefined;
  for (const timer of timers) {
    if (timer.at <= target && (!next || timer.at < next.at)) next = timer;
  }
  return next;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLE_TURNS; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
