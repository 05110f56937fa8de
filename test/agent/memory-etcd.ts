import {
  EtcdError,
  type Compare,
  type Etcd,
  type KeyValue,
  type Operation,
  type TransactionResult,
} from "../../registrar/etcd/port.ts";
import type { LeaseRenewals } from "../../registrar/agent/lease-pool.ts";

/** What becomes of a call: it passes, it fails before etcd saw it, or etcd does it and the answer is lost. */
type Fault = "none" | "refused" | "answer-lost";

export interface MemoryEtcd extends Etcd, LeaseRenewals {
  /** Asked before every call. */
  fault: () => Fault;
  readonly entries: ReadonlyMap<string, KeyValue>;
  revision(): number;
  transactions(): number;
  /** Ends a lease as etcd does, and tells whoever renews it. */
  expire(lease: string): void;
  /** A lease whose renewals are not answered any more: its term is over for whoever renews it. */
  overdue(lease: string): void;
  /** Writes as somebody else. */
  put(key: string, value: string, lease?: string): void;
  delete(key: string): void;
  /** Forgets what was before `revision`. */
  compact(revision: number): void;
}

/**
 * Transactions and leases of etcd in memory, and the renewals with them, for tests that need a manual clock or a write
 * whose answer is lost. test/agent/etcd-semantics.test.ts runs against this and against the real one.
 */
export function createMemoryEtcd(): MemoryEtcd {
  const entries = new Map<string, KeyValue>();
  /** Of each key what it became, and when. */
  const history = new Map<string, { readonly at: number; readonly entry: KeyValue | undefined }[]>();
  const leases = new Map<string, number>();
  const renewed = new Map<string, (reason: string) => void>();
  const unanswered = new Set<string>();
  let revision = 1;
  let compacted = 0;
  let leaseCount = 0;
  let transactions = 0;

  async function call<T>(run: () => T): Promise<T> {
    const fault = etcd.fault();
    // Not in the same turn: no caller may count on an answer before it has gone on.
    await Promise.resolve();
    if (fault === "refused") throw new EtcdError("unavailable", "refused");
    const result = run();
    if (fault === "answer-lost") throw new EtcdError("unavailable", "answer lost");
    return result;
  }

  function holds(compare: Compare): boolean {
    const entry = entries.get(compare.key);
    if (compare.target === "value") return entry?.value === compare.equals;
    if (compare.target === "lease") return (entry?.lease ?? "0") === compare.equals;
    return (entry?.[compare.target] ?? 0) === compare.equals;
  }

  function apply(operation: Operation, at: number): KeyValue | undefined {
    const { key } = operation;
    if (operation.type === "get") return entryAt(key, operation.atRevision ?? 0);
    if (operation.type === "delete") remove(key, at);
    else {
      const createRevision = entries.get(key)?.createRevision ?? at;
      const { value, lease = "0" } = operation;
      const entry = { key, value, createRevision, modRevision: at, lease };
      entries.set(key, entry);
      history.set(key, [...(history.get(key) ?? []), { at, entry }]);
    }
    return undefined;
  }

  function remove(key: string, at: number): void {
    if (entries.delete(key)) history.set(key, [...(history.get(key) ?? []), { at, entry: undefined }]);
  }

  function entryAt(key: string, atRevision: number): KeyValue | undefined {
    if (atRevision === 0) return entries.get(key);
    if (atRevision > revision) throw new EtcdError("future", "mvcc: required revision is a future revision");
    if (atRevision < compacted) throw new EtcdError("compacted", "mvcc: required revision has been compacted");
    return (history.get(key) ?? []).findLast(({ at }) => at <= atRevision)?.entry;
  }

  function transact(compares: readonly Compare[], success: readonly Operation[], failure: readonly Operation[]) {
    transactions += 1;
    const succeeded = compares.every(holds);
    const operations = succeeded ? success : failure;
    if (Math.max(compares.length, success.length, failure.length) > 128) {
      throw new EtcdError("invalid", "too many operations in txn request");
    }
    for (const operation of operations) {
      if (operation.type === "put" && operation.lease !== undefined && !leases.has(operation.lease)) {
        throw new EtcdError("lease_not_found", "requested lease not found");
      }
    }
    const changes = operations.some(
      (operation) => operation.type === "put" || (operation.type === "delete" && entries.has(operation.key)),
    );
    if (changes) revision += 1;
    const results = operations.map((operation) => apply(operation, revision));
    return { succeeded, revision, results } satisfies TransactionResult;
  }

  function endLease(lease: string): void {
    if (!leases.delete(lease)) return;
    const ending = [...entries.values()].filter((entry) => entry.lease === lease);
    if (ending.length > 0) revision += 1;
    for (const { key } of ending) remove(key, revision);
  }

  const unused = () => {
    throw new Error("not part of what the agent asks of etcd");
  };

  const etcd: MemoryEtcd = {
    fault: () => "none",
    entries,
    revision: () => revision,
    transactions: () => transactions,
    get: (key, atRevision = 0) => call(() => ({ entry: entryAt(key, atRevision), revision })),
    transact: (compares, success, failure = []) => call(() => transact(compares, success, failure)),
    grantLease: (ttlSeconds) =>
      call(() => {
        const lease = String(++leaseCount);
        leases.set(lease, ttlSeconds);
        return { lease, ttlSeconds };
      }),
    revokeLease: (lease) => call(() => endLease(lease)),
    describeLease: (lease) =>
      call(() => {
        const ttlSeconds = leases.get(lease);
        const keys = [...entries.values()].filter((entry) => entry.lease === lease).map(({ key }) => key);
        return ttlSeconds === undefined ? undefined : { ttlSeconds, remainingSeconds: ttlSeconds, keys };
      }),
    list: unused,
    count: unused,
    watch: unused,
    openRenewals: unused,
    close: () => Promise.resolve(),
    add(lease, _ttlSeconds, onLost) {
      renewed.set(lease, onLost);
    },
    remove(lease) {
      renewed.delete(lease);
    },
    mayHaveEnded: (lease) => unanswered.has(lease),
    overdue(lease) {
      unanswered.add(lease);
    },
    expire(lease) {
      endLease(lease);
      const onLost = renewed.get(lease);
      renewed.delete(lease);
      onLost?.("expired");
    },
    put(key, value, lease) {
      transact([], [{ type: "put", key, value, ...(lease === undefined ? {} : { lease }) }], []);
    },
    delete(key) {
      transact([], [{ type: "delete", key }], []);
    },
    compact(to) {
      compacted = to;
    },
  };
  return etcd;
}
