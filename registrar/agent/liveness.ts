import type { Check } from "../../contract/check.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { isUntried } from "./causes.ts";
import { createChecks, type Checks, type Verdict } from "./checks/checks.ts";
import { judgementOf } from "./checks/judgement.ts";
import type { CheckOutcome } from "./checks/outcome.ts";
import type { Probe } from "./checks/prober.ts";
import { createDeadlines } from "./deadlines.ts";
import { viewOf, type Held, type HeldView } from "./held.ts";

/** The least grace time of an instance that is down: a restart or a moved container takes about so long. */
const DOWN_SECONDS_MIN = 10;
/** How long a caller whose first write was not answered has to try again, before what it may have left is removed. */
const UNCONFIRMED_SECONDS_MAX = 30;

export interface LivenessOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How long a draining instance stays before it is removed. */
  readonly drainSeconds: number;
  /** How long a silent instance stays as `down` before it is removed. Left out: its own TTL, at least 10 s. */
  readonly downSeconds: number | undefined;
  readonly probe: Probe;
  readonly checksRunningMax: number | undefined;
  /** Nothing has spoken for the instance in its time, or its check has judged it otherwise than it is registered. */
  readonly onDue: (key: string) => void;
  readonly onCheck: (type: Check["type"], result: CheckOutcome["type"]) => void;
}

/** Watches each instance in its own way: its heartbeats, its check, or, while it drains, the time it has left. */
export interface LivenessWatch {
  /** Starts its time anew, or its check, or goes on without either where it needs none. */
  start(held: Held): void;
  /** Starts its grace time as `down`. */
  startGrace(held: Held): void;
  /** Comes due once more after `delayMs`, unless something speaks for it before. */
  retry(key: string, delayMs: number): void;
  /** Whether its time is running. */
  has(key: string): boolean;
  /** What its check has come to; undefined while nothing checks it. */
  verdictOf(key: string): Verdict | undefined;
  viewOf(held: Held): HeldView;
  checks(): ReturnType<Checks["counts"]>;
  forget(key: string): void;
  /** Watches nothing any more. */
  close(): Promise<void>;
}

export function createLivenessWatch(options: LivenessOptions): LivenessWatch {
  const { clock, random, log, drainSeconds, downSeconds, probe, checksRunningMax, onDue, onCheck } = options;
  const pauseSaid = (what: string) => (gapMs: number) =>
    log.warn({ gapMs: Math.round(gapMs) }, `process stood still; ${what}`);
  const deadlines = createDeadlines({ clock, onDue, onPause: pauseSaid("heartbeat deadlines start again") });
  const checks = createChecks({
    clock,
    random,
    probe,
    runningMax: checksRunningMax,
    onPause: pauseSaid("checks are spread again"),
    onResult(key, type, { type: result }) {
      onCheck(type, result);
      onDue(key);
    },
  });

  function graceSecondsOf({ liveness }: Held): number {
    const ttlSeconds = liveness.type === "heartbeat" ? liveness.ttlSeconds : 0;
    return downSeconds ?? Math.max(ttlSeconds, DOWN_SECONDS_MIN);
  }

  const startGrace = (held: Held) => deadlines.watch(held.key, graceSecondsOf(held) * 1000);

  return {
    start(held) {
      const { key, registration, liveness, confirmed } = held;
      const { status, cause = "", ...target } = registration;
      if (liveness.type !== "check" || status === "draining" || !confirmed) checks.stop(key);
      if (!confirmed) {
        // What a write of unknown outcome may have left in etcd is cleaned up, unless the caller tries again before.
        const seconds = liveness.type === "heartbeat" ? liveness.ttlSeconds : graceSecondsOf(held);
        return deadlines.watch(key, Math.min(seconds, UNCONFIRMED_SECONDS_MAX) * 1000);
      }
      if (status === "draining") return deadlines.watch(key, drainSeconds * 1000);
      if (liveness.type === "heartbeat") return deadlines.watch(key, liveness.ttlSeconds * 1000);
      deadlines.forget(key);
      if (liveness.type !== "check") return;
      const judgement = judgementOf(status, status === "down" && isUntried(registration));
      // What stands in the file stays registered, however long it is down.
      const check = held.source === "file" ? { ...liveness.check, deregisterAfterSeconds: Infinity } : liveness.check;
      checks.start(key, { target, check, judgement, cause });
    },

    startGrace,
    retry: (key, delayMs) => deadlines.watch(key, delayMs),
    has: (key) => deadlines.has(key),
    verdictOf: (key) => checks.verdictOf(key),
    viewOf: (held) => viewOf(held, checks.viewOf(held.key)),
    checks: () => checks.counts(),

    forget(key) {
      deadlines.forget(key);
      checks.stop(key);
    },

    close() {
      deadlines.close();
      return checks.close();
    },
  };
}
