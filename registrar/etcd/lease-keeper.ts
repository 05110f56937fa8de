import { createBackoff, type Backoff } from "../../kernel/backoff.ts";
import type { Cancel, Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { Etcd, EtcdError, LeaseRenewal, RenewalStream } from "./port.ts";
import { createStrain } from "./strain.ts";

/** Renewals sent and not yet answered. A stalled etcd finds no more than these when it goes on; the rest waits here. */
export const RENEWALS_IN_FLIGHT_MAX = 256;
/** Between two streams. The cap is far below a TTL, so that leases outlive an outage that is shorter than they are. */
const STREAM_BACKOFF = { baseMs: 250, capMs: 3000 };
/** Of a lease that etcd will not let us renew. It is likely to end first. */
const APART_BACKOFF = { baseMs: 2000, capMs: 60_000 };
/** How long a renewal may go unanswered before its stream counts as silent: a third of the TTL, within these. */
const ANSWER_MS_MIN = 1000;
const ANSWER_MS_MAX = 10_000;
/** Each silent stream doubles that time, up to this factor, so that a slow etcd is in the end heard out. */
const PATIENCE_MAX = 8;

/** `expired`: its time ran out before etcd answered again. `revoked`: it was ended while it had time left. */
export type LeaseLossReason = "expired" | "revoked";

export interface LeaseKeeperOptions {
  readonly etcd: Pick<Etcd, "openRenewals">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A renewal was answered with a new term. */
  readonly onRenewal?: () => void;
}

/** Keeps leases alive, all over one LeaseKeepAlive stream, which is opened for the first renewal. */
export interface LeaseKeeper {
  /**
   * Renews a lease until it is removed or etcd says that it has ended: then `onLost` is called, once.
   * An etcd that does not answer loses no lease by itself, as the lease may live on there. Adding it again is a bug.
   */
  add(
    lease: string,
    ttlSeconds: number,
    onLost: (reason: LeaseLossReason) => void,
    /** What is left of the term of one that was granted earlier. */
    remainingSeconds?: number,
  ): void;
  /** Stops renewing, without a word to etcd. Unknown leases are ignored. */
  remove(lease: string): void;
  /** Whether its term is over by what we know: etcd may have it still, and may be about to end it. */
  mayHaveEnded(lease: string): boolean;
  size(): number;
  /** LeaseKeepAlive streams open or opening: 0 or 1. */
  streams(): number;
  /**
   * How hard etcd finds it to answer, from 0 (at ease) to 1. Leases are renewed the less often, down to every half of
   * their TTL; whoever grants a lease should give it the longer a TTL.
   */
  strain(): number;
  close(): Promise<void>;
}

interface Kept {
  readonly id: string;
  readonly onLost: (reason: LeaseLossReason) => void;
  ttlMs: number;
  /** When it ends by what we know: the sending of the last renewal that was answered, and its TTL. */
  endsAtMs: number;
  sentAtMs: number;
  /** Of a lease at rest, what makes it due; of one asked for, what finds the stream silent. */
  cancelTimer: Cancel;
  /** Set once etcd has refused the lease: from then on it is only asked for alone. */
  refusals: Backoff | undefined;
}

/** `down`: nothing to renew. `up`: the stream takes renewals. `waiting`: until the backoff has passed. */
type StreamState =
  | { readonly type: "down" }
  | { readonly type: "up"; readonly stream: RenewalStream }
  | { readonly type: "waiting"; readonly cancel: Cancel };

export function createLeaseKeeper({ etcd, clock, random, log, onRenewal }: LeaseKeeperOptions): LeaseKeeper {
  /** A lease is at rest until it is due: then in `queue`, or in `suspects`, until it is `asked` for on the stream. */
  const leases = new Map<string, Kept>();
  /** In the order in which they became due, which is about that of their ends. */
  const queue = new Set<Kept>();
  /** Those etcd has refused before. */
  const suspects = new Set<Kept>();
  /** In the order of sending, which is that of etcd's answers. */
  const asked = new Set<Kept>();
  const backoff = createBackoff({ ...STREAM_BACKOFF, random });
  const strain = createStrain();
  let state: StreamState = { type: "down" };
  let patience = 1;
  let failures = 0;

  function rest(lease: Kept, delayMs: number): void {
    lease.cancelTimer();
    lease.cancelTimer = clock.after(delayMs, () => enqueue(lease));
  }

  function enqueue(lease: Kept): void {
    (lease.refusals ? suspects : queue).add(lease);
    pump();
  }

  /** Sends what is due, as far as there is place. A suspect goes only when nobody else can be taken for it. */
  function pump(): void {
    if (state.type === "waiting" || queue.size + suspects.size === 0) return;
    for (const lease of suspects) {
      if (asked.size > 0) return;
      send(lease);
    }
    if (alone()) return;
    for (const lease of queue) {
      if (asked.size >= RENEWALS_IN_FLIGHT_MAX) return;
      send(lease);
    }
  }

  function alone(): boolean {
    const [first] = asked;
    return first?.refusals !== undefined;
  }

  function send(lease: Kept): void {
    if (state.type === "down") open();
    if (state.type !== "up") return;
    queue.delete(lease);
    suspects.delete(lease);
    asked.add(lease);
    lease.sentAtMs = clock.monotonic();
    const answerMs = Math.min(ANSWER_MS_MAX, Math.max(ANSWER_MS_MIN, lease.ttlMs / 3)) * patience;
    lease.cancelTimer = clock.after(answerMs, () => replaceSilent(answerMs));
    state.stream.renew(lease.id);
  }

  function open(): void {
    const stream = etcd.openRenewals({ onRenewal: answered, onEnd: ended });
    state = { type: "up", stream };
  }

  function answered({ lease: id, ttlSeconds }: LeaseRenewal): void {
    const lease = leases.get(id);
    if (!lease || !asked.delete(lease)) return;
    strain.answered(clock.monotonic() - lease.sentAtMs);
    backoff.reset();
    patience = 1;
    failures = 0;
    if (ttlSeconds === 0) {
      const reason = clock.monotonic() >= lease.endsAtMs ? "expired" : "revoked";
      forget(lease);
      lease.onLost(reason);
    } else {
      lease.ttlMs = ttlSeconds * 1000;
      lease.endsAtMs = lease.sentAtMs + lease.ttlMs;
      lease.refusals = undefined;
      rest(lease, renewalDelayMs(lease.ttlMs, strain.level(), random));
      onRenewal?.();
    }
    pump();
  }

  function ended(error: EtcdError): void {
    if (error.code === "permission_denied") setFirstApart();
    replace(error.message);
  }

  /** The server answers in order and ends the stream at the lease it refuses, so that is the first without an answer. */
  function setFirstApart(): void {
    const [first] = asked;
    if (!first) return;
    asked.delete(first);
    first.refusals ??= createBackoff({ ...APART_BACKOFF, random });
    const delayMs = first.refusals.next();
    rest(first, delayMs);
    log.warn(
      { lease: first.id, retryInMs: Math.round(delayMs) },
      "etcd denies the renewal of a lease: it is set apart",
    );
  }

  function replaceSilent(answerMs: number): void {
    if (state.type !== "up") return;
    patience = Math.min(PATIENCE_MAX, patience * 2);
    strain.silent(answerMs);
    state.stream.close();
    replace(`no answer to a renewal in ${Math.round(answerMs)} ms`);
  }

  /** After the end of a stream: what it left unanswered goes first on the next one. */
  function replace(why: string): void {
    const unanswered = [...asked];
    asked.clear();
    const later = [...queue];
    queue.clear();
    for (const lease of [...unanswered, ...later]) {
      lease.cancelTimer();
      (lease.refusals ? suspects : queue).add(lease);
    }
    const delayMs = backoff.next();
    // An outage is told once, not with every try.
    const level = failures++ === 0 ? "warn" : "debug";
    log[level]({ retryInMs: Math.round(delayMs), leases: leases.size }, `The lease stream ended: ${why}`);
    const cancel = clock.after(delayMs, () => {
      state = { type: "down" };
      pump();
    });
    state = { type: "waiting", cancel };
  }

  function forget(lease: Kept): void {
    lease.cancelTimer();
    leases.delete(lease.id);
    for (const set of [queue, suspects, asked]) set.delete(lease);
    if (leases.size === 0) shut();
  }

  function shut(): void {
    if (state.type === "up") state.stream.close();
    if (state.type === "waiting") state.cancel();
    state = { type: "down" };
  }

  return {
    add(id, ttlSeconds, onLost, remainingSeconds = ttlSeconds) {
      if (leases.has(id)) throw new Error(`lease ${id} is already kept`);
      const ttlMs = ttlSeconds * 1000;
      const nowMs = clock.monotonic();
      const lease: Kept = {
        id,
        onLost,
        ttlMs,
        endsAtMs: nowMs + remainingSeconds * 1000,
        sentAtMs: nowMs,
        cancelTimer: () => {},
        refusals: undefined,
      };
      leases.set(id, lease);
      // Leases granted together would stay together: the first renewal spreads them over the whole interval.
      rest(lease, (random() * remainingSeconds * 1000) / 3);
    },
    remove(id) {
      const lease = leases.get(id);
      if (!lease) return;
      forget(lease);
      pump();
    },
    mayHaveEnded: (id) => clock.monotonic() >= (leases.get(id)?.endsAtMs ?? 0),
    size: () => leases.size,
    streams: () => (state.type === "up" ? 1 : 0),
    strain: () => strain.level(),
    async close() {
      for (const lease of leases.values()) lease.cancelTimer();
      for (const set of [leases, queue, suspects, asked]) set.clear();
      shut();
    },
  };
}

/**
 * A third of the TTL, or up to a fifth less: two renewals may fail before the lease ends. Up to half of it when etcd is
 * strained, and then one may.
 */
function renewalDelayMs(ttlMs: number, strain: number, random: Random): number {
  return ttlMs * (1 / 3 + strain / 6) * (1 - random() * 0.2);
}
