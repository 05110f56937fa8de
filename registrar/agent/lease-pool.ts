import { sentinelKey } from "../../contract/etcd-keys.ts";
import type { Cancel, Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import { leaseRecord, type StateJournal, type StoredLease } from "./state/records.ts";
import { EtcdError, type Compare, type Etcd, type KeyValue, type Operation } from "../etcd/port.ts";

/** With its sentinel a full lease is 128 keys: what etcd takes in one transaction by default. */
export const INSTANCES_PER_LEASE_MAX = 127;
/** How long a lease without instances is kept for the next one, so that one that comes and goes costs no lease. */
const EMPTY_LEASE_MS = 60_000;
/** Revocations at a time on the way out, and how long new ones are begun: what is left then ends within its TTL. */
const CLOSE_REVOCATIONS_MAX = 8;
const CLOSE_REVOCATIONS_MS = 5000;
/** Leases of this process that have ended and are remembered as ours; an answer that came too late may name one. */
const FORMER_LEASES_MAX = 4096;

/** What the pool asks of the lease keeper. */
export interface LeaseRenewals {
  add(lease: string, ttlSeconds: number, onLost: (reason: string) => void, remainingSeconds?: number): void;
  remove(lease: string): void;
  mayHaveEnded(lease: string): boolean;
}

/** One lease, shared by up to INSTANCES_PER_LEASE_MAX instances of one namespace. */
export interface PoolLease {
  readonly id: string;
  readonly namespace: string;
  /** Its term as granted. */
  readonly ttlSeconds: number;
  readonly sentinelKey: string;
  readonly sentinelValue: string;
  /**
   * Of the sentinel as we last wrote it. Every write under this lease compares it. 0: its first write was not answered;
   * until a fence has settled that, nothing else is put under this lease.
   */
  sentinelRevision: number;
  /** The latest revision at which etcd is known to have had the sentinel as this process put it. */
  seenRevision: number;
  /** `open` until etcd ends it (`lost`), another process has put its own sentinel (`taken`), or we end it (`closed`). */
  state: "open" | "lost" | "taken" | "closed";
  /** The keys that have a slot here, and as many more as wait for this lease to open. */
  readonly members: Set<string>;
}

/** A lease as etcd granted it, before its sentinel is written. */
export type GrantedLease = Pick<PoolLease, "id" | "sentinelKey" | "sentinelValue">;

/** A lease of an earlier run whose sentinel is ours by now. */
export interface TakenUpLease extends Pick<
  PoolLease,
  "id" | "namespace" | "ttlSeconds" | "sentinelValue" | "sentinelRevision"
> {
  readonly keys: readonly string[];
  readonly remainingSeconds: number;
}

export interface Sentinel {
  readonly key: string;
  readonly value: string;
}

export interface LeasePoolOptions {
  readonly etcd: Etcd;
  readonly leases: LeaseRenewals;
  readonly clock: Clock;
  readonly log: Log;
  /** The agent's name in its sentinel keys. */
  readonly agent: string;
  /** Tells this process from an earlier one of the same agent. */
  readonly incarnation: string;
  /** Asked before each grant: longer while etcd is strained. Leases that are there keep theirs. */
  readonly leaseTtlSeconds: () => number;
  readonly journal: StateJournal;
  /** A lease has ended against our will; its members no longer have it. */
  readonly onLost: (lease: PoolLease) => void;
  /** Another process has taken the lease, with all that is on it. */
  readonly onTaken: (lease: PoolLease) => void;
}

export interface LeasePool {
  /**
   * A slot for `key` on an open lease of the namespace, or on a new one. Rejects with an EtcdError. A lease whose term is
   * over for all we know takes nobody in: etcd may end it next, with what it has just confirmed.
   */
  acquire(namespace: string, key: string): Promise<PoolLease>;
  /** A slot for each of `keys` on one lease that `acquire` would take; undefined where none has room for all of them. */
  join(namespace: string, keys: readonly string[]): PoolLease | undefined;
  /**
   * A new lease with `keys` as its members. `firstWrite` writes the sentinel, with whatever goes along in the same
   * transaction, and returns the transaction's revision, or 0 when the outcome is unknown. When it rejects, the lease is
   * revoked.
   */
  open(
    namespace: string,
    keys: readonly string[],
    firstWrite: (lease: GrantedLease) => Promise<number>,
  ): Promise<PoolLease>;
  /** Renews and uses a lease of an earlier run. */
  takeUp(lease: TakenUpLease): PoolLease;
  /** The sentinel of this process for a lease. */
  sentinelOf(namespace: string, lease: string, ttlSeconds: number): Sentinel;
  /** Gives a slot back. A lease that stays empty is revoked after a while. */
  release(lease: PoolLease, key: string): void;
  /**
   * Whether the sentinel, as etcd has it now, at `revision` where that is known, is still the one of this process. Takes
   * over its revision, and declares the lease lost when it is not ours any more.
   */
  confirms(lease: PoolLease, sentinel: KeyValue | undefined, revision?: number): boolean;
  /** Whether this process was granted the lease at some time. */
  isOurs(lease: string): boolean;
  all(): readonly PoolLease[];
  /** What the journal is to say of the leases, with those whose first write is under way. */
  records(): Iterable<StoredLease>;
  /** Leaves the leases to end by themselves, or revokes them and all they hold, as far as the time allows. */
  close(options: { readonly revoke: boolean }): Promise<void>;
}

interface Opening {
  readonly keys: string[];
  readonly lease: Promise<PoolLease>;
}

/** The compare and the put by which a sentinel is made: only where there is none. */
export function sentinelWrite(lease: GrantedLease): { readonly compare: Compare; readonly put: Operation } {
  return {
    compare: { key: lease.sentinelKey, target: "createRevision", equals: 0 },
    put: { type: "put", key: lease.sentinelKey, value: lease.sentinelValue, lease: lease.id },
  };
}

/** Whether this is the sentinel as this process has put it on its lease. */
export function isSentinelOf(lease: PoolLease, sentinel: KeyValue | undefined): boolean {
  return sentinel?.value === lease.sentinelValue && sentinel.lease === lease.id;
}

export function createLeasePool(options: LeasePoolOptions): LeasePool {
  const { etcd, leases, clock, log, agent, incarnation, leaseTtlSeconds, journal, onLost, onTaken } = options;
  const held = new Map<string, PoolLease>();
  const roomy = new Map<string, Set<PoolLease>>();
  const openings = new Map<string, Opening>();
  const granted = new Map<string, StoredLease>();
  const emptyTimers = new Map<PoolLease, Cancel>();
  const former = new Set<string>();
  const revocations = new Set<Promise<void>>();
  let closed = false;

  function withRoom(namespace: string): PoolLease[] {
    return [...(roomy.get(namespace) ?? [])].filter(({ id }) => !leases.mayHaveEnded(id));
  }

  function addMember(lease: PoolLease, key: string): void {
    lease.members.add(key);
    emptyTimers.get(lease)?.();
    emptyTimers.delete(lease);
    noteRoom(lease);
  }

  function noteRoom(lease: PoolLease): void {
    const leasesWithRoom = roomy.get(lease.namespace) ?? new Set();
    if (lease.state === "open" && lease.sentinelRevision > 0 && lease.members.size < INSTANCES_PER_LEASE_MAX) {
      roomy.set(lease.namespace, leasesWithRoom.add(lease));
    } else {
      leasesWithRoom.delete(lease);
      if (leasesWithRoom.size === 0) roomy.delete(lease.namespace);
    }
  }

  function end(lease: PoolLease, state: "lost" | "taken" | "closed"): void {
    lease.state = state;
    held.delete(lease.id);
    if (state !== "taken") remember(lease.id);
    noteRoom(lease);
    emptyTimers.get(lease)?.();
    emptyTimers.delete(lease);
    leases.remove(lease.id);
  }

  function remember(id: string): void {
    former.add(id);
    const [oldest] = former;
    if (former.size > FORMER_LEASES_MAX && oldest !== undefined) former.delete(oldest);
  }

  function lose(lease: PoolLease, reason: string): void {
    if (lease.state !== "open") return;
    end(lease, "lost");
    log.warn({ lease: lease.id, namespace: lease.namespace, instances: lease.members.size, reason }, "lease lost");
    if (closed) return;
    journal.append({ type: "lease-ended", id: lease.id });
    onLost(lease);
  }

  /** Its instances are the other's now: putting them again would be a fight over them. */
  function giveAway(lease: PoolLease): void {
    end(lease, "taken");
    log.warn({ lease: lease.id, namespace: lease.namespace, instances: lease.members.size }, "lease taken by another");
    if (closed) return;
    journal.append({ type: "lease-ended", id: lease.id });
    onTaken(lease);
  }

  function revoke(id: string): void {
    journal.append({ type: "lease-ended", id });
    void sendRevocation(id);
  }

  function sendRevocation(id: string): Promise<void> {
    const revocation = etcd
      .revokeLease(id)
      .catch((error: unknown) => {
        // Nobody renews it any more, so it ends by itself within its TTL.
        log.debug({ lease: id, error: messageOf(error) }, "lease left to expire");
      })
      .finally(() => revocations.delete(revocation));
    revocations.add(revocation);
    return revocation;
  }

  async function revokeAll(ids: string[]): Promise<void> {
    // Also of those that are left: they are not for the next start to take up.
    for (const id of ids) journal.append({ type: "lease-ended", id });
    const deadlineMs = clock.monotonic() + CLOSE_REVOCATIONS_MS;
    const work = async () => {
      for (let id = ids.pop(); id !== undefined && clock.monotonic() < deadlineMs; id = ids.pop())
        await sendRevocation(id);
    };
    await Promise.all(Array.from({ length: CLOSE_REVOCATIONS_MAX }, work));
  }

  function endWhenEmpty(lease: PoolLease): void {
    if (closed || lease.state !== "open" || lease.members.size > 0) return;
    emptyTimers.get(lease)?.();
    emptyTimers.set(
      lease,
      clock.after(EMPTY_LEASE_MS, () => {
        end(lease, "closed");
        revoke(lease.id);
      }),
    );
  }

  async function open(
    namespace: string,
    keys: readonly string[],
    firstWrite: (lease: GrantedLease) => Promise<number>,
  ): Promise<PoolLease> {
    const { lease: id, ttlSeconds } = await etcd.grantLease(leaseTtlSeconds());
    const { key, value } = sentinelOf(namespace, id, ttlSeconds);
    let sentinelRevision: number;
    try {
      // Before there is a key on it: a start that did not know the lease could not take up what is there.
      const record: StoredLease = { type: "lease", id, namespace, ttlSeconds, sentinels: [value] };
      granted.set(id, record);
      journal.append(record);
      await journal.flushed();
      sentinelRevision = await firstWrite({ id, sentinelKey: key, sentinelValue: value });
    } catch (error) {
      granted.delete(id);
      remember(id);
      revoke(id);
      throw error;
    }
    const lease: PoolLease = {
      id,
      sentinelKey: key,
      sentinelValue: value,
      namespace,
      ttlSeconds,
      sentinelRevision,
      seenRevision: sentinelRevision,
      state: "open",
      members: new Set(keys),
    };
    granted.delete(id);
    hold(lease, ttlSeconds);
    log.debug({ lease: id, namespace, ttlSeconds }, "lease granted");
    return lease;
  }

  function hold(lease: PoolLease, remainingSeconds: number): void {
    if (closed) {
      // It was opened while everything else has ended: a timer of its own would keep the process alive.
      lease.state = "closed";
      return;
    }
    held.set(lease.id, lease);
    leases.add(lease.id, lease.ttlSeconds, (reason) => lose(lease, reason), remainingSeconds);
    noteRoom(lease);
    endWhenEmpty(lease);
  }

  function sentinelOf(namespace: string, lease: string, ttlSeconds: number): Sentinel {
    const startedAt = new Date(clock.now()).toISOString();
    return {
      key: sentinelKey(agent, lease),
      value: JSON.stringify({ agent, incarnation, namespace, startedAt, ttlSeconds }),
    };
  }

  async function writeSentinel(lease: GrantedLease): Promise<number> {
    const { compare, put } = sentinelWrite(lease);
    const { succeeded, revision } = await etcd.transact([compare], [put]);
    if (!succeeded) throw new EtcdError("unavailable", "a new lease has a sentinel already");
    return revision;
  }

  function openFor(namespace: string, key: string): Promise<PoolLease> {
    const keys = [key];
    const lease = open(namespace, keys, writeSentinel).finally(() => {
      if (openings.get(namespace)?.keys === keys) openings.delete(namespace);
    });
    openings.set(namespace, { keys, lease });
    return lease;
  }

  return {
    async acquire(namespace, key) {
      const [lease] = withRoom(namespace);
      if (lease) {
        addMember(lease, key);
        return lease;
      }
      const opening = openings.get(namespace);
      if (!opening || opening.keys.length >= INSTANCES_PER_LEASE_MAX) return await openFor(namespace, key);
      opening.keys.push(key);
      return await opening.lease;
    },

    join(namespace, keys) {
      for (const lease of withRoom(namespace)) {
        if (lease.members.size + keys.length > INSTANCES_PER_LEASE_MAX) continue;
        for (const key of keys) addMember(lease, key);
        return lease;
      }
      return undefined;
    },

    open,

    takeUp({ keys, remainingSeconds, ...taken }) {
      const key = sentinelKey(agent, taken.id);
      const seenRevision = taken.sentinelRevision;
      const lease: PoolLease = { ...taken, sentinelKey: key, seenRevision, state: "open", members: new Set(keys) };
      hold(lease, remainingSeconds);
      return lease;
    },

    sentinelOf,

    release(lease, key) {
      lease.members.delete(key);
      noteRoom(lease);
      endWhenEmpty(lease);
    },

    confirms(lease, sentinel, revision = 0) {
      if (lease.state !== "open") return false;
      if (sentinel && isSentinelOf(lease, sentinel)) {
        lease.sentinelRevision = Math.max(lease.sentinelRevision, sentinel.modRevision);
        lease.seenRevision = Math.max(lease.seenRevision, lease.sentinelRevision, revision);
        noteRoom(lease);
        return true;
      }
      // Who takes a lease over puts the sentinel on it; anything else under its key was put by somebody else.
      if (sentinel?.lease === lease.id) giveAway(lease);
      else lose(lease, sentinel ? "its sentinel was overwritten" : "its sentinel is gone");
      return false;
    },

    isOurs: (lease) => held.has(lease) || former.has(lease),

    all: () => [...held.values()],

    *records() {
      yield* granted.values();
      for (const lease of held.values()) yield leaseRecord(lease);
    },

    async close(closing) {
      closed = true;
      for (const cancel of emptyTimers.values()) cancel();
      emptyTimers.clear();
      const leasesLeft = [...held.values()];
      for (const lease of leasesLeft) end(lease, "closed");
      if (closing.revoke) await revokeAll(leasesLeft.map(({ id }) => id));
      await Promise.all(revocations);
    },
  };
}
