import { createBackoff } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";

/** Failures in a row that open the breaker. One alone may be a connection that had been idle for too long. */
const FAILURES_MAX = 2;
/** Ceilings of the pause before a probe. The cap bounds how long a Redis that is back stays unused. */
const PAUSE_BASE_MS = 250;
const PAUSE_CAP_MS = 2000;

/**
 * `closed` until FAILURES_MAX calls in a row have failed; `open` until the pause is over and the next call is let
 * through as a probe; `probing` until that call's outcome, or its loss, is known.
 */
type State =
  | { readonly type: "closed"; readonly failures: number }
  | { readonly type: "open"; readonly probeAt: number }
  | { readonly type: "probing"; readonly since: number };

export interface Breaker {
  /** Whether calls pass freely. */
  closed(): boolean;
  /** Takes leave for one call, whose outcome must be told by `succeeded` or `failed`. */
  allow(): boolean;
  succeeded(): void;
  failed(): void;
}

export interface BreakerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** After this long a probe of which nothing was heard counts as lost. */
  readonly probeMsMax: number;
  /** Called when it opens, and when it closes again. */
  readonly onChange: (state: "open" | "closed") => void;
}

/** Keeps a Redis that is down from costing requests their latency, and from being asked by every request at once. */
export function createBreaker({ clock, random, probeMsMax, onChange }: BreakerOptions): Breaker {
  const pauses = createBackoff({ baseMs: PAUSE_BASE_MS, capMs: PAUSE_CAP_MS, random });
  let state: State = { type: "closed", failures: 0 };

  function open(): void {
    state = { type: "open", probeAt: clock.monotonic() + pauses.next() };
  }

  return {
    closed: () => state.type === "closed",
    allow() {
      const now = clock.monotonic();
      if (state.type === "closed") return true;
      const due = state.type === "open" ? state.probeAt : state.since + probeMsMax;
      if (now < due) return false;
      state = { type: "probing", since: now };
      return true;
    },
    succeeded() {
      if (state.type !== "closed") onChange("closed");
      state = { type: "closed", failures: 0 };
      pauses.reset();
    },
    failed() {
      if (state.type === "probing") return open();
      // Calls from before it opened say nothing new.
      if (state.type === "open") return;
      const failures = state.failures + 1;
      if (failures < FAILURES_MAX) {
        state = { type: "closed", failures };
        return;
      }
      open();
      onChange("open");
    },
  };
}
