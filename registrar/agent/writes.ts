import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Compare, Etcd, KeyValue, Operation } from "../etcd/port.ts";
import { groupTransactions } from "./grouped-transactions.ts";
import type { LeasePool, PoolLease } from "./lease-pool.ts";

/** Transactions for one write. Each round but the first follows a change by somebody else in between. */
const ROUNDS_MAX = 12;
/** Between rounds from the third on. Without it two agents that contend for a key can keep in step, and one starve. */
const ROUND_BACKOFF = { baseMs: 5, capMs: 200 };

interface PutRequest {
  readonly key: string;
  readonly lease: PoolLease;
  /** The revision at which the key should stand, 0 for none; undefined when an earlier write left it unknown. */
  readonly expected: number | undefined;
  /** What to write, given what is there now (as far as it was read). */
  readonly valueAfter: (existing: KeyValue | undefined) => string;
  /** Whether to make the key when it is not there. */
  readonly create: boolean;
  /** Whether to take the key when another agent's lease has it. */
  readonly takeOver: boolean;
}

export type PutOutcome =
  | { readonly type: "written"; readonly modRevision: number; readonly value: string; readonly created: boolean }
  /** Another agent has the key; nothing was written. */
  | { readonly type: "moved" }
  /** The key is not there and was not to be made. */
  | { readonly type: "absent" }
  /** The sentinel is not ours any more, so nothing was written; another lease is needed. */
  | { readonly type: "lease-lost" };

interface RemoveRequest {
  readonly key: string;
  readonly lease: PoolLease;
  readonly expected: number | undefined;
}

export interface BatchItem {
  readonly key: string;
  readonly expected: number;
  readonly operation: Operation;
}

type BatchOutcome =
  /** `moved` were left as another agent has them; all the others are as asked for. */
  { readonly type: "done"; readonly revision: number; readonly moved: readonly string[] } | { readonly type: "fenced" };

/**
 * The owner fence. Every put and every delete is a transaction that compares the revision the key was last seen at,
 * and the sentinel of our lease, so that a write which was overtaken, by another agent or by our own later one, does
 * nothing. All calls reject with an EtcdError, after which it is unknown whether the write took place, or with
 * `conflict` when others change the same key all the time.
 */
export interface Writes {
  put(request: PutRequest): Promise<PutOutcome>;
  /** Deletes the key if it is still ours. One that is gone or has moved is left as it is: that is success too. */
  remove(request: RemoveRequest): Promise<void>;
  /**
   * Makes writes under this lease that are still on their way come to nothing, by moving its sentinel. Asked for again
   * meanwhile, it is the same one.
   */
  fence(lease: PoolLease): Promise<void>;
  /**
   * Up to 127 writes, and what `lead` adds, in one transaction; again without those that have moved until it passes.
   * For a key that is not there a delete is dropped and a put makes it.
   */
  batch(fence: Compare, lead: readonly Operation[], items: readonly BatchItem[]): Promise<BatchOutcome>;
}

export interface WritesOptions {
  readonly etcd: Etcd;
  readonly pool: LeasePool;
  readonly clock: Clock;
  readonly random: Random;
}

export function createWrites({ etcd, pool, clock, random }: WritesOptions): Writes {
  const fences = new Map<PoolLease, Promise<void>>();
  const transactTogether = groupTransactions((...call) => etcd.transact(...call));

  interface Found {
    readonly entry: KeyValue | undefined;
    readonly sentinel: KeyValue | undefined;
  }

  /** Runs `round` until it gives a result. */
  async function inRounds<T>(round: () => Promise<T | undefined>): Promise<T> {
    const backoff = createBackoff({ ...ROUND_BACKOFF, random });
    for (let rounds = 1; rounds <= ROUNDS_MAX; rounds++) {
      const result = await round();
      if (result !== undefined) return result;
      if (rounds >= 2) await sleep(clock, backoff.next());
    }
    throw contended();
  }

  /** One round: runs `operation` if key and sentinel are as expected; otherwise tells what is there. */
  async function tryOnce(
    key: string,
    lease: PoolLease,
    expected: number | undefined,
    operation: Operation,
  ): Promise<{ readonly revision: number } | Found> {
    const reads: Operation[] = [
      { type: "get", key },
      { type: "get", key: lease.sentinelKey },
    ];
    if (expected === undefined) {
      const { results } = await etcd.transact([], reads);
      return { entry: results[0], sentinel: results[1] };
    }
    const result = await transactTogether([at(key, expected), sentinelAt(lease)], [operation], reads);
    if (result.succeeded) return { revision: result.revision };
    return { entry: result.results[0], sentinel: result.results[1] };
  }

  async function moveSentinel(lease: PoolLease): Promise<void> {
    const sentinel: Operation = {
      type: "put",
      key: lease.sentinelKey,
      value: lease.sentinelValue,
      lease: lease.id,
    };
    await inRounds(async () => {
      const result = await etcd.transact([sentinelAt(lease)], [sentinel], [{ type: "get", key: lease.sentinelKey }]);
      if (result.succeeded) lease.sentinelRevision = Math.max(lease.sentinelRevision, result.revision);
      else if (pool.confirms(lease, result.results[0])) return undefined;
      return "done";
    });
  }

  return {
    async put({ key, lease, expected: expectedFirst, valueAfter, create, takeOver }) {
      let expected = expectedFirst;
      let existing: KeyValue | undefined;
      return await inRounds<PutOutcome>(async () => {
        const value = valueAfter(existing);
        const found = await tryOnce(key, lease, expected, { type: "put", key, value, lease: lease.id });
        if ("revision" in found) {
          return { type: "written", modRevision: found.revision, value, created: expected === 0 };
        }
        if (!pool.confirms(lease, found.sentinel)) return { type: "lease-lost" };
        existing = found.entry;
        if (!existing) {
          if (!create) return { type: "absent" };
          expected = 0;
        } else if (existing.lease === lease.id && existing.value === valueAfter(existing)) {
          // An earlier put of the same that was not answered in time.
          return { type: "written", modRevision: existing.modRevision, value: existing.value, created: false };
        } else if (takeOver || pool.isOurs(existing.lease)) {
          expected = existing.modRevision;
        } else {
          return { type: "moved" };
        }
        return undefined;
      });
    },

    async remove({ key, lease, expected: expectedFirst }) {
      let expected = expectedFirst;
      await inRounds(async () => {
        const found = await tryOnce(key, lease, expected, { type: "delete", key });
        if ("revision" in found) return "done";
        // Without its sentinel the lease is not ours to delete from, and what is left on it ends with it.
        if (!found.entry || !pool.isOurs(found.entry.lease) || !pool.confirms(lease, found.sentinel)) return "done";
        expected = found.entry.modRevision;
        return undefined;
      });
    },

    fence(lease) {
      const underWay = fences.get(lease);
      if (underWay) return underWay;
      const fence = moveSentinel(lease).finally(() => fences.delete(lease));
      fences.set(lease, fence);
      return fence;
    },

    async batch(fence, lead, itemsFirst) {
      let items = itemsFirst;
      const moved: string[] = [];
      return await inRounds<BatchOutcome>(async () => {
        const result = await etcd.transact(
          [fence, ...items.map(({ key, expected }) => at(key, expected))],
          [...lead, ...items.map(({ operation }) => operation)],
          [{ type: "get", key: fence.key }, ...items.map(({ key }): Operation => ({ type: "get", key }))],
        );
        if (result.succeeded) return { type: "done", revision: result.revision, moved };
        const [sentinel, ...entries] = result.results;
        if (!holds(fence, sentinel)) return { type: "fenced" };
        items = items.flatMap((item, index) => {
          const entry = entries[index];
          if (!entry) return item.operation.type === "delete" ? [] : [{ ...item, expected: 0 }];
          if (pool.isOurs(entry.lease)) return [{ ...item, expected: entry.modRevision }];
          moved.push(item.key);
          return [];
        });
        return undefined;
      });
    },
  };
}

export function sentinelAt(lease: PoolLease): Compare {
  return { key: lease.sentinelKey, target: "modRevision", equals: lease.sentinelRevision };
}

function at(key: string, revision: number): Compare {
  return { key, target: "modRevision", equals: revision };
}

function holds(fence: Compare, sentinel: KeyValue | undefined): boolean {
  if (fence.target === "createRevision" || fence.target === "modRevision") {
    return (sentinel?.[fence.target] ?? 0) === fence.equals;
  }
  return sentinel?.[fence.target] === fence.equals;
}

function contended(): FingerpostError {
  const message = "Other registrars keep changing the same instance; let only one of them register it.";
  return new FingerpostError("conflict", message, { retryAfterSeconds: 1 });
}
