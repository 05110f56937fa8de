import type { Check } from "../../../contract/check.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { Random } from "../../../kernel/random.ts";
import { checkCause } from "../causes.ts";
import { createDeadlines } from "../deadlines.ts";
import { judge, type Judgement } from "./judgement.ts";
import { stoodStill, type CheckOutcome } from "./outcome.ts";
import type { CheckTarget, Probe } from "./prober.ts";

/** Checks under way at a time. Each is a socket; while all time out, this many end per `timeoutSeconds`. */
export const CHECKS_RUNNING_MAX = 256;
/** The first check follows the registration within this, at random, so that a crowd does not ask at once. */
const FIRST_WITHIN_MS = 1000;
/** The part of an interval by which each one is shorter or longer. */
const JITTER = 0.1;

/** What the results so far come to. `gone`: down for longer than its check allows. */
export type Verdict =
  | { readonly type: "up" }
  | { readonly type: "down"; readonly cause: string }
  | { readonly type: "gone" };

/** What a check saw last, as it is shown. Times are RFC 3339, UTC. */
export interface CheckView {
  readonly passes: number;
  readonly failures: number;
  readonly last?: {
    readonly result: CheckOutcome["type"];
    readonly reason?: string;
    readonly at: string;
    readonly latencyMs: number;
  };
  /** When it is made next; absent while it waits for its turn or is under way. */
  readonly next?: string;
}

export interface ChecksOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly probe: Probe;
  /** Default CHECKS_RUNNING_MAX. */
  readonly runningMax?: number | undefined;
  /** A result has come, and the instance may be something else than it is registered as. */
  readonly onResult: (key: string, type: Check["type"], outcome: CheckOutcome) => void;
  readonly onPause: (gapMs: number) => void;
}

interface Subject {
  readonly target: CheckTarget;
  readonly check: Check;
  readonly judgement: Judgement;
  /** Why it is down; empty while it is up. */
  readonly cause: string;
}

/**
 * Makes the checks of many instances: never two of one instance at a time, at most `runningMax` of all, those that are
 * due in their order. What fails while this process stands still does not count.
 */
export interface Checks {
  /** Begins to check an instance that is registered as `subject` says, or goes on with it as that. */
  start(key: string, subject: Subject): void;
  stop(key: string): void;
  verdictOf(key: string): Verdict | undefined;
  viewOf(key: string): CheckView | undefined;
  counts(): { readonly instances: number; readonly running: number; readonly waiting: number };
  /** Makes no more, and waits for those under way, which end early. */
  close(): Promise<void>;
}

interface Checked {
  subject: Subject;
  judgement: Judgement;
  cause: string;
  downSinceMs: number;
  isGone: boolean;
  nextAtMs: number | undefined;
  last: CheckView["last"];
}

interface Run {
  readonly end: AbortController;
  readonly done: Promise<void>;
  /** The process stood still meanwhile: a failure does not count. */
  interrupted: boolean;
}

export function createChecks(options: ChecksOptions): Checks {
  const { clock, random, probe, runningMax = CHECKS_RUNNING_MAX, onResult, onPause } = options;
  const all = new Map<string, Checked>();
  const waiting = new Set<string>();
  const running = new Map<string, Run>();
  const times = createDeadlines({ clock, onDue, onPause: spreadAgain });
  let closed = false;

  function planIn(key: string, checked: Checked, delayMs: number): void {
    checked.nextAtMs = clock.monotonic() + delayMs;
    times.watch(key, delayMs);
  }

  function onDue(key: string): void {
    const checked = all.get(key);
    if (!checked) return;
    checked.nextAtMs = undefined;
    waiting.add(key);
    startNext();
  }

  function startNext(): void {
    for (const key of waiting) {
      if (closed || running.size >= runningMax) return;
      const checked = all.get(key);
      // One of the same instance that is still ending brings it back when it has.
      if (checked && running.has(key)) continue;
      waiting.delete(key);
      if (checked) start(key, checked);
    }
  }

  function start(key: string, checked: Checked): void {
    const end = new AbortController();
    const run: Run = { end, interrupted: false, done: make(key, checked, end.signal, () => run.interrupted) };
    running.set(key, run);
  }

  async function make(key: string, checked: Checked, signal: AbortSignal, interrupted: () => boolean): Promise<void> {
    const { target, check } = checked.subject;
    const startedMs = clock.monotonic();
    const outcome = await probe(target, check, signal);
    const latencyMs = clock.monotonic() - startedMs;
    running.delete(key);
    if (!closed && all.get(key) === checked && !signal.aborted) {
      const counts = outcome.type === "failed" && interrupted() ? stoodStill : outcome;
      take(checked, counts, latencyMs);
      planIn(key, checked, delayMsAfter(counts, check.intervalSeconds * 1000, latencyMs));
      onResult(key, check.type, counts);
    }
    startNext();
  }

  function delayMsAfter(outcome: CheckOutcome, intervalMs: number, latencyMs: number): number {
    // What says nothing of one instance has mostly struck many at once.
    if (outcome.type === "void") return random() * intervalMs;
    return Math.max(0, intervalMs * (1 + JITTER * (2 * random() - 1)) - latencyMs);
  }

  function take(checked: Checked, outcome: CheckOutcome, latencyMs: number): void {
    const { check } = checked.subject;
    const at = new Date(clock.now()).toISOString();
    const reason = "reason" in outcome ? { reason: outcome.reason } : {};
    checked.last = { result: outcome.type, ...reason, at, latencyMs: Math.round(latencyMs) };
    if (outcome.type === "void") return;
    const before = checked.judgement.verdict;
    checked.judgement = judge(checked.judgement, outcome.type === "passed", check);
    if (checked.judgement.verdict === "up" || outcome.type === "passed") return;
    if (before === "up") {
      checked.cause = checkCause(outcome.reason);
      checked.downSinceMs = clock.monotonic();
    } else if (clock.monotonic() - checked.downSinceMs >= check.deregisterAfterSeconds * 1000) {
      checked.isGone = true;
    }
  }

  function spreadAgain(gapMs: number): void {
    for (const run of running.values()) run.interrupted = true;
    for (const [key, checked] of all) {
      // While this process stood still nobody saw whether the instance was down.
      checked.downSinceMs = clock.monotonic();
      if (times.has(key)) planIn(key, checked, random() * checked.subject.check.intervalSeconds * 1000);
    }
    onPause(gapMs);
  }

  function stop(key: string): void {
    all.delete(key);
    waiting.delete(key);
    times.forget(key);
    running.get(key)?.end.abort();
  }

  return {
    start(key, subject) {
      const known = all.get(key);
      if (known && isSame(known.subject, subject)) return;
      stop(key);
      const { judgement, cause } = subject;
      const downSinceMs = clock.monotonic();
      const checked = { subject, judgement, cause, downSinceMs, isGone: false, nextAtMs: undefined, last: undefined };
      all.set(key, checked);
      planIn(key, checked, random() * Math.min(FIRST_WITHIN_MS, subject.check.intervalSeconds * 1000));
    },

    stop,

    verdictOf(key) {
      const checked = all.get(key);
      if (!checked) return undefined;
      if (checked.isGone) return { type: "gone" };
      return checked.judgement.verdict === "up" ? { type: "up" } : { type: "down", cause: checked.cause };
    },

    viewOf(key) {
      const checked = all.get(key);
      if (!checked) return undefined;
      const { judgement, last, nextAtMs } = checked;
      const wallMs = nextAtMs === undefined ? undefined : clock.now() + nextAtMs - clock.monotonic();
      return {
        passes: judgement.passes,
        failures: judgement.failures,
        ...(last ? { last } : {}),
        ...(wallMs === undefined ? {} : { next: new Date(wallMs).toISOString() }),
      };
    },

    counts: () => ({ instances: all.size, running: running.size, waiting: waiting.size }),

    async close() {
      closed = true;
      times.close();
      waiting.clear();
      for (const { end } of running.values()) end.abort();
      await Promise.all([...running.values()].map(({ done }) => done));
    },
  };
}

/** Where it goes and how it is judged; not what has been judged so far. */
function isSame(a: Subject, b: Subject): boolean {
  return placeOf(a) === placeOf(b);
}

function placeOf({ target: { address, port, protocol }, check }: Subject): string {
  return JSON.stringify([address, port, protocol, check]);
}
