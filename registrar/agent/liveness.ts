import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../node/log.ts";
import { createDeadlines } from "./deadlines.ts";
import type { Held } from "./held.ts";

/** The least grace time of an instance that is down: a restart or a moved container takes about so long. */
const DOWN_SECONDS_MIN = 10;

export interface LivenessOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** How long a draining instance stays before it is removed. */
  readonly drainSeconds: number;
  /** How long a silent instance stays as `down` before it is removed. Left out: its own TTL, at least 10 s. */
  readonly downSeconds: number | undefined;
  /** Nothing has spoken for the instance in its time. */
  readonly onDue: (key: string) => void;
}

/** Watches each instance in its own way: its heartbeats, its check, or, while it drains, the time it has left. */
export interface LivenessWatch {
  /** Starts its time anew, or goes on without one where it needs none. */
  start(held: Held): void;
  /** Starts its grace time as `down`. */
  startGrace(held: Held): void;
  /** Comes due once more after `delayMs`, unless something speaks for it before. */
  retry(key: string, delayMs: number): void;
  /** Whether its time is running. */
  has(key: string): boolean;
  forget(key: string): void;
  /** Watches nothing any more. */
  close(): void;
}

export function createLivenessWatch(options: LivenessOptions): LivenessWatch {
  const { clock, log, drainSeconds, downSeconds, onDue } = options;
  const deadlines = createDeadlines({
    clock,
    onDue,
    onPause: (gapMs) => log.warn({ gapMs: Math.round(gapMs) }, "process stood still; heartbeat deadlines start again"),
  });

  function startGrace({ key, liveness }: Held): void {
    const ttlSeconds = liveness.type === "heartbeat" ? liveness.ttlSeconds : 0;
    deadlines.watch(key, (downSeconds ?? Math.max(ttlSeconds, DOWN_SECONDS_MIN)) * 1000);
  }

  return {
    start(held) {
      const { key, registration, liveness, confirmed } = held;
      if (registration.status === "draining") deadlines.watch(key, drainSeconds * 1000);
      else if (liveness.type === "heartbeat") deadlines.watch(key, liveness.ttlSeconds * 1000);
      // What a write of unknown outcome may have left in etcd is cleaned up, unless the caller tries again before.
      else if (!confirmed) startGrace(held);
      else deadlines.forget(key);
    },

    startGrace,

    retry: (key, delayMs) => deadlines.watch(key, delayMs),
    has: (key) => deadlines.has(key),
    forget: (key) => deadlines.forget(key),
    close: () => deadlines.close(),
  };
}
