import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import { EtcdError, type Etcd, type EtcdErrorCode, type KeyValue, type Operation } from "../etcd/port.ts";
import type { Held, LostPosition } from "./held.ts";
import { firstChange, nextState } from "./last-holder.ts";
import { isSentinelOf, type LeasePool, type PoolLease } from "./lease-pool.ts";

/** What the history of a batch may take. It is some requests, and what was lost is to be back soon. */
const HISTORY_MS_MAX = 3000;
/** Times that it may fail while etcd answers otherwise. After that the instances are put without it. */
const FAILURES_MAX = 2;
/** Instances of a lease that were missing before its end and whose own history is read. As many as an audit reads. */
const HISTORIES_MAX = 32;
/** With these the put would fail as well, so nothing is gained by going on to it. */
const DENIALS: ReadonlySet<EtcdErrorCode> = new Set(["permission_denied", "unauthenticated"]);

export interface BeforeTheEndOptions {
  readonly etcd: Pick<Etcd, "get" | "transact">;
  readonly pool: LeasePool;
  readonly clock: Clock;
  readonly log: Log;
}

/** How lost instances stood in etcd just before their lease ended. */
export interface BeforeTheEnd {
  /**
   * Those that another agent had taken by then: put again they would be what they were before they moved. None where
   * etcd does not tell any more. Rejects when it may tell at another try, a few times at most while etcd answers.
   */
  moved(instances: readonly Held[]): Promise<ReadonlySet<Held>>;
}

interface Lost {
  readonly held: Held;
  readonly was: LostPosition;
}

export function createBeforeTheEnd({ etcd, pool, clock, log }: BeforeTheEndOptions): BeforeTheEnd {
  const failures = new WeakMap<PoolLease, number>();

  async function movedFrom(lease: PoolLease, lost: readonly Lost[], revision: number): Promise<Held[]> {
    const { sentinelKey: key, sentinelRevision, seenRevision } = lease;
    const isBefore = (then: KeyValue | undefined) => isSentinelOf(lease, then);
    const before = Math.max(sentinelRevision, seenRevision);
    // Its first write was never answered, and so it is not known from when on it was there.
    if (before === 0) return [];
    const after = { at: revision + 1, entry: undefined };
    const lastAt = (await firstChange(etcd, { key, before, after, isBefore })).at - 1;
    const reads = [key, ...lost.map(({ held }) => held.key)].map((each): Operation => ({
      type: "get",
      key: each,
      atRevision: lastAt,
    }));
    const [sentinel, ...entries] = (await etcd.transact([], reads)).results;
    // Etcd was restored since, and this is another history than that of the lease.
    if (!isBefore(sentinel)) return [];
    const missing = entries.filter((entry) => entry === undefined).length;
    const moved: Held[] = [];
    for (const [index, { held, was }] of lost.entries()) {
      const latest = entries[index] ?? (missing <= HISTORIES_MAX ? await stateBefore(held, was, lastAt) : undefined);
      if (latest && isTaken(latest, was)) moved.push(held);
    }
    return moved;
  }

  /** Of one that was gone before its lease: who has taken it may have removed it, or have lost it as we did. */
  async function stateBefore(
    { key }: Held,
    { writtenAt }: LostPosition,
    goneAt: number,
  ): Promise<KeyValue | undefined> {
    return writtenAt === undefined ? undefined : await nextState(etcd, { key, writtenAt, goneAt });
  }

  /** After us: where etcd was restored, another may have had it before. */
  function isTaken({ lease, modRevision }: KeyValue, { writtenAt = 0 }: LostPosition): boolean {
    return !pool.isOurs(lease) && modRevision > writtenAt;
  }

  async function movedFromAll(
    byLease: ReadonlyMap<PoolLease, readonly Lost[]>,
    revision: number,
    signal: AbortSignal,
  ): Promise<ReadonlySet<Held>> {
    const moved = new Set<Held>();
    for (const [lease, lost] of byLease) {
      if (signal.aborted) break;
      try {
        for (const held of await movedFrom(lease, lost, revision)) moved.add(held);
      } catch (error) {
        if (!(error instanceof EtcdError && (error.code === "compacted" || error.code === "future"))) throw error;
        log.info({ lease: lease.id, error: error.message }, "etcd does not tell what a lost lease had at its end");
      }
    }
    return moved;
  }

  /** Counts a failure against all of them; whether one is to be asked for once more. */
  function mayAskAgain(leases: Iterable<PoolLease>): boolean {
    const counts = [...leases].map((lease) => {
      const count = (failures.get(lease) ?? 0) + 1;
      failures.set(lease, count);
      return count;
    });
    return counts.some((count) => count < FAILURES_MAX);
  }

  return {
    async moved(instances) {
      const lost = instances.flatMap((held) => {
        const was = held.position.type === "lost" ? held.position.was : undefined;
        return was && (failures.get(was.lost) ?? 0) < FAILURES_MAX ? [{ held, was }] : [];
      });
      const [first] = lost;
      if (!first) return new Set();
      // An etcd that is away fails this as it would fail the put: it is no failure of the history.
      const { revision } = await etcd.get(first.was.lost.sentinelKey);
      const byLease = Map.groupBy(lost, ({ was }) => was.lost);
      const stop = new AbortController();
      try {
        const history = movedFromAll(byLease, revision, stop.signal);
        return await within(clock, HISTORY_MS_MAX, "reading what lost leases had", history);
      } catch (error) {
        const isDenied = error instanceof EtcdError && DENIALS.has(error.code);
        if (isDenied || mayAskAgain(byLease.keys())) throw error;
        log.warn({ instances: lost.length, error: messageOf(error) }, "lost instances are put again, moved or not");
        return new Set();
      } finally {
        stop.abort();
      }
    },
  };
}
