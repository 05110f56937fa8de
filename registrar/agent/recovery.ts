import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { EtcdError } from "../etcd/port.ts";
import type { BeforeTheEnd } from "./before-the-end.ts";
import type { Held } from "./held.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import { INSTANCES_PER_LEASE_MAX, sentinelWrite, type LeasePool, type PoolLease } from "./lease-pool.ts";
import type { TokenBucket } from "./token-bucket.ts";
import { sentinelAt, type BatchItem, type Writes } from "./writes.ts";

/** Batches under way at a time: enough to hide a round trip, few enough that an etcd in trouble sees little of it. */
const BATCHES_MAX = 4;
const BACKOFF_BASE_MS = 200;
const BACKOFF_CAP_MS = 5000;

export interface RecoveryOptions {
  readonly pool: LeasePool;
  readonly writes: Writes;
  readonly beforeTheEnd: BeforeTheEnd;
  readonly queue: KeyedQueue;
  /** One token a batch, shared by all that pace themselves in this process. */
  readonly bucket: TokenBucket;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly find: (key: string) => Held | undefined;
  /** Another agent has the instance by now. */
  readonly onMoved: (held: Held) => void;
}

/**
 * Puts instances whose lease has ended again, under one that has room or a new one, up to a whole lease in one
 * transaction; but not those that had moved to another agent before it ended. It goes on, with backoff, until each one is
 * written, has moved, or is no longer held; etcd may be away for as long as it likes.
 */
export interface Recovery {
  add(namespace: string, keys: Iterable<string>): void;
  pending(): number;
  close(): Promise<void>;
}

export function createRecovery(options: RecoveryOptions): Recovery {
  const { pool, writes, beforeTheEnd, queue, bucket, clock, random, log, find, onMoved } = options;
  const waiting = new Map<string, Set<string>>();
  /** Batches under way, each with its namespace. */
  const running = new Map<Promise<void>, string>();
  const stop = new AbortController();
  const backoff = createBackoff({ baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random });
  let keysRunning = 0;

  function add(namespace: string, keys: Iterable<string>): void {
    const set = waiting.get(namespace) ?? new Set();
    for (const key of keys) set.add(key);
    if (set.size > 0) waiting.set(namespace, set);
    startBatches();
  }

  function startBatches(): void {
    while (running.size < BATCHES_MAX && !stop.signal.aborted) {
      const next = [...waiting].find(
        ([namespace, set]) => set.size >= INSTANCES_PER_LEASE_MAX || !isUnderWay(namespace),
      );
      if (!next) return;
      const [namespace, set] = next;
      const keys = [...set].slice(0, INSTANCES_PER_LEASE_MAX);
      for (const key of keys) set.delete(key);
      // To the end of the line: a namespace that etcd denies us must not keep the others waiting.
      waiting.delete(namespace);
      if (set.size > 0) waiting.set(namespace, set);
      keysRunning += keys.length;
      const batch = run(namespace, keys).finally(() => {
        running.delete(batch);
        keysRunning -= keys.length;
        startBatches();
      });
      running.set(batch, namespace);
    }
  }

  /** Fewer than a lease takes wait for that batch, and go together: at the same time each would open a lease of its own. */
  function isUnderWay(namespace: string): boolean {
    return [...running.values()].includes(namespace);
  }

  async function run(namespace: string, keys: readonly string[]): Promise<void> {
    await bucket.take(stop.signal);
    if (stop.signal.aborted) return;
    try {
      // Locked for one attempt only: between attempts callers can register, drain and delete these instances.
      await queue.runAll(keys, () => putAgain(namespace, keys));
      backoff.reset();
    } catch (error) {
      log.warn({ namespace, instances: keys.length, error: messageOf(error) }, "re-registration failed, trying again");
      await sleep(clock, backoff.next(), stop.signal);
      add(namespace, keys);
    }
  }

  async function putAgain(namespace: string, keys: readonly string[]): Promise<void> {
    const instances = keys.map(find).filter((held) => held !== undefined);
    const uncertain = Map.groupBy(instances, ({ confirmed, position }) =>
      confirmed && position.type === "uncertain" ? position.lease : undefined,
    );
    for (const [lease, on] of uncertain) if (lease) await putOnceMore(lease, on);
    const allLost = instances.filter(({ position }) => position.type === "lost");
    // What is not there may have moved, and have been removed or lost where it moved to.
    const moved = await beforeTheEnd.moved(allLost);
    for (const held of moved) onMoved(held);
    const lost = allLost.filter((held) => !moved.has(held));
    if (lost.length === 0) return;
    // After a start instances are heard of one by one: a lease for each would stay for as long as they do.
    const keysLost = lost.map(({ key }) => key);
    const lease = pool.join(namespace, keysLost);
    if (lease) await putUnder(lease, lost);
    else await putUnderNewLease(namespace, lost);
  }

  async function putUnderNewLease(namespace: string, instances: readonly Held[]): Promise<void> {
    const moved = new Set<string>();
    let unanswered: EtcdError | undefined;
    const lease = await pool.open(
      namespace,
      instances.map(({ key }) => key),
      async (granted) => {
        const { compare, put } = sentinelWrite(granted);
        try {
          const outcome = await writes.batch(compare, [put], itemsOf(instances, granted.id));
          if (outcome.type === "fenced") throw new Error("a new lease has a sentinel already");
          for (const key of outcome.moved) moved.add(key);
          return outcome.revision;
        } catch (error) {
          if (!(error instanceof EtcdError) || error.code !== "unavailable") throw error;
          // They may be there by now: to end the lease would take them all away a second time.
          unanswered = error;
          return 0;
        }
      },
    );
    if (unanswered) {
      for (const held of instances) held.position = { type: "uncertain", lease, sentinelRevision: 0 };
      throw unanswered;
    }
    settle(lease, instances, moved);
  }

  /** Under the lease on which they may be already. */
  async function putOnceMore(lease: PoolLease, instances: readonly Held[]): Promise<void> {
    await writes.fence(lease);
    // With its lease lost they are here again, as lost ones.
    if (lease.state !== "open") return;
    await putUnder(lease, instances);
  }

  async function putUnder(lease: PoolLease, instances: readonly Held[]): Promise<void> {
    for (const held of instances) {
      held.position = { type: "uncertain", lease, sentinelRevision: lease.sentinelRevision };
    }
    const outcome = await writes.batch(sentinelAt(lease), [], itemsOf(instances, lease.id));
    if (outcome.type === "fenced") throw new EtcdError("unavailable", "another write moved the sentinel meanwhile");
    if (lease.state !== "open") return;
    settle(lease, instances, new Set(outcome.moved), outcome.revision);
  }

  function settle(
    lease: PoolLease,
    instances: readonly Held[],
    moved: ReadonlySet<string>,
    modRevision = lease.sentinelRevision,
  ): void {
    for (const held of instances) {
      if (moved.has(held.key)) {
        pool.release(lease, held.key);
        onMoved(held);
      } else {
        held.position = { type: "written", lease, modRevision };
      }
    }
    log.info(
      { namespace: lease.namespace, lease: lease.id, instances: instances.length - moved.size },
      "registered again",
    );
  }

  return {
    add,
    pending: () => keysRunning + [...waiting.values()].reduce((sum, { size }) => sum + size, 0),
    async close() {
      stop.abort();
      await Promise.all(running.keys());
    },
  };
}

function itemsOf(instances: readonly Held[], lease: string): BatchItem[] {
  return instances.map(({ key, value }) => ({ key, expected: 0, operation: { type: "put", key, value, lease } }));
}
