import type { Clock } from "../kernel/clock.ts";

/**
 * On Workers every clock is the wall clock, and may be set back: what was fresh would then stay fresh for as long. So
 * monotonic time only adds up here, and a step back of `clock` counts as none.
 */
export function createSteadyClock(clock: Clock): Clock {
  let last = clock.monotonic();
  let elapsedMs = 0;
  return {
    ...clock,
    monotonic() {
      const now = clock.monotonic();
      elapsedMs += Math.max(0, now - last);
      last = now;
      return elapsedMs;
    },
  };
}
