import { parseInstanceKey } from "../../contract/etcd-keys.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { EtcdError, type Etcd, type EtcdErrorCode, type KeyValue } from "../etcd/port.ts";
import type { LeasePool, PoolLease, Sentinel, TakenUpLease } from "./lease-pool.ts";
import { leaseRecord, sentinelRun, type StateJournal, type StoredLease } from "./state/records.ts";

/** Leases taken up at a time: enough to hide round trips, few enough for an etcd to which all agents come back at once. */
const LEASES_MAX = 8;
const BACKOFF = { baseMs: 250, capMs: 5000 };
/** After these another try would have the same answer. */
const FINAL: ReadonlySet<EtcdErrorCode> = new Set(["lease_not_found", "permission_denied", "invalid"]);

export interface TakeUpOptions {
  readonly etcd: Etcd;
  readonly pool: LeasePool;
  readonly journal: StateJournal;
  /** The name of this agent. */
  readonly agent: string;
  readonly leases: Iterable<StoredLease>;
  /** Nothing is done before. */
  readonly after: Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A key that etcd has under a lease which is ours again. */
  readonly onFound: (lease: PoolLease, entry: KeyValue) => void;
  /** All leases are dealt with. */
  readonly onDone: () => void;
}

/**
 * Makes the leases of an earlier run those of this one. For each the sentinel is compared with what that run had put
 * and replaced by ours, in one transaction: from then on nothing that an earlier process may still send, or another one
 * that read the same state, is carried out. Ours is a sentinel that the state names, or one of a run that it names. A
 * lease that has ended, or has another sentinel, is left as it is.
 */
export interface TakeUp {
  /** Resolves once every lease is dealt with, or on `close`. */
  done(): Promise<void>;
  /** Leases that are still to be dealt with. */
  pending(): number;
  /** What the journal is to say of those. */
  records(): Iterable<StoredLease>;
  close(): Promise<void>;
}

export function startTakeUp(options: TakeUpOptions): TakeUp {
  const { etcd, pool, journal, agent, clock, random, log, onFound, onDone } = options;
  const stop = new AbortController();
  const left = new Map<string, StoredLease>();
  const runs = new Set<string>();
  for (const lease of options.leases) {
    left.set(lease.id, lease);
    for (const sentinel of lease.sentinels) runs.add(sentinelRun(sentinel)?.incarnation ?? "");
  }
  let taken = 0;
  let told = "";

  async function work(queue: string[]): Promise<void> {
    for (let id = queue.pop(); id !== undefined && !stop.signal.aborted; id = queue.pop()) {
      await takeUpInTime(id);
    }
  }

  async function takeUpInTime(id: string): Promise<void> {
    const backoff = createBackoff({ ...BACKOFF, random });
    const first = left.get(id);
    if (!first) return;
    const own = pool.sentinelOf(first.namespace, id, first.ttlSeconds);
    for (let stored: StoredLease | undefined = first; stored && !stop.signal.aborted; stored = left.get(id)) {
      try {
        await takeUp(stored, own);
      } catch (error) {
        if (error instanceof EtcdError && FINAL.has(error.code)) {
          drop(id, error.message);
          continue;
        }
        // Each reason once: the same line every few seconds tells nothing new.
        const reason = messageOf(error);
        if (reason !== told) log.warn({ lease: id, error: reason }, "lease not taken up yet, trying again");
        told = reason;
        await sleep(clock, backoff.next(), stop.signal);
      }
    }
  }

  /** One try. It is over when the lease is no longer in `left`. */
  async function takeUp(
    { id, namespace, ttlSeconds, sentinels }: StoredLease,
    { key, value }: Sentinel,
  ): Promise<void> {
    const { entry } = await etcd.get(key);
    if (!entry) return drop(id, "it has ended");
    if (entry.lease !== id) return drop(id, "its sentinel is not on it any more");
    if (!sentinels.includes(entry.value) && !isOfKnownRun(entry.value)) return drop(id, whyLeft(entry.value));
    if (entry.value !== value) {
      // Before etcd has it: a start that knew only the former one would take the lease for another's.
      note({ type: "lease", id, namespace, ttlSeconds, sentinels: [entry.value, value] });
      await journal.flushed();
    }
    if (stop.signal.aborted) return;
    const { succeeded, revision } = await etcd.transact(
      [{ key, target: "modRevision", equals: entry.modRevision }],
      [{ type: "put", key, value, lease: id }],
    );
    if (!succeeded) throw new EtcdError("unavailable", "its sentinel was changed at the same time");
    await enter({ id, namespace, ttlSeconds, sentinelValue: value, sentinelRevision: revision });
  }

  async function enter(own: Omit<TakenUpLease, "keys" | "remainingSeconds">): Promise<void> {
    // Also what is not in our state: nobody else would ever remove it.
    const found = await etcd.describeLease(own.id);
    if (!found) return drop(own.id, "it has ended");
    const keys = found.keys.filter((key) => parseInstanceKey(key)?.namespace === own.namespace);
    const { results } = await etcd.transact(
      [],
      keys.map((key) => ({ type: "get", key })),
    );
    const entries = results.filter((entry) => entry?.lease === own.id).filter((entry) => entry !== undefined);
    const { remainingSeconds } = found;
    const lease = pool.takeUp({ ...own, keys: entries.map(({ key }) => key), remainingSeconds });
    journal.append(leaseRecord(lease));
    left.delete(own.id);
    for (const entry of entries) onFound(lease, entry);
    taken += 1;
  }

  /** The line that named it is lost. What else that run has left is in the state, so it was the state's as well. */
  function isOfKnownRun(sentinel: string): boolean {
    const putBy = sentinelRun(sentinel);
    return putBy?.agent === agent && runs.has(putBy.incarnation);
  }

  /** Nobody can tell from here whether a run that the state does not name is over. */
  function whyLeft(sentinel: string): string {
    if (sentinelRun(sentinel)?.agent !== agent) return "its sentinel is another agent's";
    return "its sentinel is of a run that the state does not name: left to that, it ends by itself if that is over";
  }

  function note(record: StoredLease): void {
    left.set(record.id, record);
    journal.append(record);
  }

  function drop(lease: string, reason: string): void {
    left.delete(lease);
    journal.append({ type: "lease-ended", id: lease });
    log.warn({ lease, reason }, "lease of an earlier run not taken up");
  }

  async function run(): Promise<void> {
    const queue = [...left.keys()];
    await options.after;
    await Promise.all(Array.from({ length: LEASES_MAX }, () => work(queue)));
    if (stop.signal.aborted) return;
    if (taken > 0) log.info({ leases: taken }, "leases of an earlier run taken up");
    onDone();
  }

  const running = run();
  return {
    done: () => running,
    pending: () => left.size,
    records: () => left.values(),
    async close() {
      stop.abort();
      await running;
    },
  };
}
