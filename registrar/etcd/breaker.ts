import { createBackoff } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { EtcdError } from "./port.ts";

/** Failures one after the other that open the circuit. Fewer, and a move to the next member would; more is more load. */
const FAILURES_MAX = 3;
/** Ceilings of the pause before a probe. The cap bounds how long an etcd that is back stays unused. */
const PAUSE_BACKOFF = { baseMs: 500, capMs: 4000 };

export type Circuit =
  | { readonly type: "closed" }
  /** Calls fail at once until the pause is over; the next one then is the probe. */
  | { readonly type: "open"; readonly retryInMs: number }
  | { readonly type: "probing" };

/** Leave for one call, whose end must be told by one of these. */
export interface Permit {
  /** Etcd has answered, be it with a refusal. */
  succeeded(): void;
  failed(cause: EtcdError): void;
  /** It was not sent after all. */
  withdrawn(): void;
}

/** Keeps an etcd that is down or drowning from being asked by every call of the process. */
export interface Breaker {
  /** Throws `unavailable`, with when to try again and the last failure as its cause, while the circuit is open. */
  enter(): Permit;
  circuit(): Circuit;
  /** When the first call failed since the last answer, milliseconds since the epoch; undefined while etcd answers. */
  unansweredSinceMs(): number | undefined;
}

/**
 * `closed` until FAILURES_MAX failures, each of a call begun after the one before had failed: a crowd that fails together
 * is one. `open` until a call after `probeAtMs` is let through: then `probing` until its end. An answer closes it always.
 */
type State =
  | { readonly type: "closed"; readonly failures: number }
  | { readonly type: "open"; readonly probeAtMs: number }
  | { readonly type: "probing"; readonly probe: Permit };

export interface BreakerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createBreaker({ clock, random, log }: BreakerOptions): Breaker {
  const pauses = createBackoff({ ...PAUSE_BACKOFF, random });
  let state: State = { type: "closed", failures: 0 };
  let unansweredSinceMs: number | undefined;
  let lastFailure: EtcdError | undefined;

  function open(cause: EtcdError): void {
    const delayMs = pauses.next();
    // The end of a probe tells nothing new.
    if (state.type === "closed") {
      log.warn({ error: cause.message, retryInMs: Math.round(delayMs) }, "etcd fails call after call: pausing");
    }
    state = { type: "open", probeAtMs: clock.monotonic() + delayMs };
  }

  function newPermit(): Permit {
    const failuresBefore = state.type === "closed" ? state.failures : undefined;
    const permit: Permit = {
      succeeded() {
        if (state.type !== "closed") log.info("etcd answers again");
        state = { type: "closed", failures: 0 };
        unansweredSinceMs = undefined;
        pauses.reset();
      },
      failed(cause) {
        unansweredSinceMs ??= clock.now();
        lastFailure = cause;
        if (state.type === "probing" && state.probe === permit) open(cause);
        if (state.type !== "closed" || state.failures !== failuresBefore) return;
        if (state.failures + 1 >= FAILURES_MAX) open(cause);
        else state = { type: "closed", failures: state.failures + 1 };
      },
      withdrawn() {
        if (state.type === "probing" && state.probe === permit) {
          state = { type: "open", probeAtMs: clock.monotonic() };
        }
      },
    };
    return permit;
  }

  return {
    unansweredSinceMs: () => unansweredSinceMs,
    enter() {
      if (state.type === "closed") return newPermit();
      const waitMs = state.type === "open" ? state.probeAtMs - clock.monotonic() : PAUSE_BACKOFF.baseMs;
      if (waitMs > 0) {
        throw new EtcdError(
          "unavailable",
          "etcd has failed call after call; this one was not sent",
          lastFailure,
          waitMs,
        );
      }
      const probe = newPermit();
      state = { type: "probing", probe };
      return probe;
    },
    circuit() {
      if (state.type !== "open") return { type: state.type };
      return { type: "open", retryInMs: Math.max(0, Math.round(state.probeAtMs - clock.monotonic())) };
    },
  };
}
