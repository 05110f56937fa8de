import {
  EtcdError,
  type Compare,
  type KeyValue,
  type LeaseDescription,
  type Operation,
  type TransactionResult,
  type WatchEvent,
} from "../../registrar/etcd/port.ts";
import type { Timeline } from "./timeline.ts";

/** etcd's own default. */
const OPERATIONS_MAX = 128;

/** Why a key changed. */
export type ChangeCause = "written" | "deleted" | "lease" | "restored";

/** A key that is now another; `after` is undefined where it is gone. */
export interface KeyChange {
  readonly key: string;
  readonly before: KeyValue | undefined;
  readonly after: KeyValue | undefined;
  readonly cause: ChangeCause;
}

/** What one revision changed. */
interface Revision {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

interface Version {
  readonly revision: number;
  readonly entry: KeyValue | undefined;
}

interface Lease {
  readonly ttlSeconds: number;
  expiresAtMs: number;
}

/** All that etcd holds; a backup is one. */
interface State {
  revision: number;
  compacted: number;
  readonly versions: Map<string, Version[]>;
  readonly log: Revision[];
  readonly leases: Map<string, Lease>;
}

export interface Backup {
  readonly state: State;
}

/** Where the events of a watch go. */
interface Watcher {
  readonly onRevision: (events: readonly WatchEvent[]) => void;
  readonly onBroken: () => void;
}

/**
 * etcd as far as we use it, without network: its history, leases that end all of their keys in one revision, compaction,
 * and restores from a backup. test/agent/etcd-semantics.test.ts runs against this and against the real one.
 */
export interface EtcdModel {
  /** Whether it answers, and ends leases. */
  up: boolean;
  revision(): number;
  entry(key: string): KeyValue | undefined;
  /** In the order of their keys, of now. */
  entries(prefix: string): readonly KeyValue[];
  get(key: string, atRevision?: number): { readonly entry: KeyValue | undefined; readonly revision: number };
  /** Those from `from` on, at most `limit`; `atRevision` 0 for now. */
  page(
    prefix: string,
    from: string,
    limit: number,
    atRevision: number,
  ): { readonly entries: readonly KeyValue[]; readonly revision: number; readonly more: boolean };
  count(prefix: string, revision: number): number;
  transact(
    compares: readonly Compare[],
    success: readonly Operation[],
    failure?: readonly Operation[],
  ): TransactionResult;
  /** `ttlSeconds` Infinity: for one that somebody renews all the time. */
  grant(ttlSeconds: number): string;
  /** What is left for it is its whole TTL again; 0 where there is no such lease. */
  renew(lease: string): number;
  endLease(lease: string): void;
  describe(lease: string): LeaseDescription | undefined;
  /** Gives what was compacted, or else begins to tell. */
  watch(startRevision: number, watcher: Watcher): { readonly compacted: number } | { readonly stop: () => void };
  watchers(): number;
  compact(revision: number): void;
  breakWatches(): void;
  backup(): Backup;
  /** Everything is as it was then; who watched has to begin again. Leases have their whole TTL. */
  restore(backup: Backup): void;
}

/** `onChange` is told of all that one revision changes. */
export function createEtcdModel(timeline: Timeline, onChange: (changes: readonly KeyChange[]) => void): EtcdModel {
  let state: State = { revision: 1, compacted: 0, versions: new Map(), log: [], leases: new Map() };
  let leasesGranted = 0;
  const watchers = new Set<Watcher>();

  const entryAt = (key: string, revision: number) =>
    state.versions.get(key)?.findLast((version) => version.revision <= revision)?.entry;
  const entryOf = (key: string) => state.versions.get(key)?.at(-1)?.entry;

  function check(revision: number): void {
    if (revision > state.revision) throw new EtcdError("future", "required revision is a future revision");
    if (revision < state.compacted) throw new EtcdError("compacted", "required revision has been compacted");
  }

  function at(key: string, revision: number): KeyValue | undefined {
    check(revision);
    return entryAt(key, revision);
  }

  function entriesAt(prefix: string, revision: number): KeyValue[] {
    const keys = [...state.versions.keys()].filter((key) => key.startsWith(prefix)).toSorted();
    return keys.flatMap((key) => entryAt(key, revision) ?? []);
  }

  function holds(compare: Compare): boolean {
    const entry = entryOf(compare.key);
    if (compare.target === "value") return entry?.value === compare.equals;
    if (compare.target === "lease") return (entry?.lease ?? "0") === compare.equals;
    return (entry?.[compare.target] ?? 0) === compare.equals;
  }

  function write(changed: ReadonlyMap<string, KeyValue | undefined>, cause: ChangeCause): void {
    const { revision } = state;
    const events: WatchEvent[] = [];
    const changes: KeyChange[] = [];
    for (const [key, after] of changed) {
      const before = entryOf(key);
      const versions = state.versions.get(key) ?? [];
      state.versions.set(key, versions);
      versions.push({ revision, entry: after });
      if (after !== undefined) events.push({ type: "put", entry: after });
      else if (before !== undefined) events.push({ type: "delete", entry: { ...before, modRevision: revision } });
      changes.push({ key, before, after, cause: after === undefined && cause === "written" ? "deleted" : cause });
    }
    state.log.push({ revision, events });
    onChange(changes);
    for (const watcher of watchers) watcher.onRevision(events);
  }

  function endLease(lease: string): void {
    if (!state.leases.delete(lease)) return;
    const ending = entriesAt("", state.revision).filter((entry) => entry.lease === lease);
    if (ending.length === 0) return;
    state.revision++;
    write(new Map(ending.map(({ key }) => [key, undefined])), "lease");
  }

  /** Looks at a lease when it may have ended. One timer a lease, however often it is renewed. */
  function expire(lease: string): void {
    const kept = state.leases.get(lease);
    if (kept === undefined || kept.expiresAtMs === Infinity) return;
    timeline.at(kept.expiresAtMs, () => {
      const now = state.leases.get(lease);
      if (now === undefined || now !== kept) return;
      // Without a quorum no lease ends, and the next leader gives each its whole TTL.
      if (!model.up) now.expiresAtMs = timeline.nowMs() + now.ttlSeconds * 1000;
      if (now.expiresAtMs > timeline.nowMs()) expire(lease);
      else endLease(lease);
    });
  }

  function breakWatches(): void {
    const broken = [...watchers];
    watchers.clear();
    for (const { onBroken } of broken) onBroken();
  }

  const model: EtcdModel = {
    up: true,
    revision: () => state.revision,
    entry: entryOf,
    entries: (prefix) => entriesAt(prefix, state.revision),
    get(key, atRevision) {
      return { entry: at(key, atRevision ?? state.revision), revision: state.revision };
    },
    page(prefix, from, limit, atRevision) {
      const revision = atRevision === 0 ? state.revision : atRevision;
      check(revision);
      const entries = entriesAt(prefix, revision).filter(({ key }) => key >= from);
      return { entries: entries.slice(0, limit), revision: state.revision, more: entries.length > limit };
    },
    count(prefix, revision) {
      check(revision);
      return entriesAt(prefix, revision).length;
    },
    transact(compares, success, failure = []) {
      if (Math.max(compares.length, success.length, failure.length) > OPERATIONS_MAX) {
        throw new EtcdError("invalid", "too many operations in txn request");
      }
      const succeeded = compares.every(holds);
      const operations = succeeded ? success : failure;
      const changed = new Map<string, KeyValue | undefined>();
      const next = state.revision + 1;
      const results = operations.map((operation) => {
        const { key } = operation;
        const before = changed.has(key) ? changed.get(key) : entryOf(key);
        if (operation.type === "get")
          return operation.atRevision === undefined ? before : at(key, operation.atRevision);
        if (operation.type === "delete") {
          if (before !== undefined) changed.set(key, undefined);
          return undefined;
        }
        const lease = operation.lease ?? "0";
        if (lease !== "0" && !state.leases.has(lease)) {
          throw new EtcdError("lease_not_found", "requested lease not found");
        }
        const createRevision = before?.createRevision ?? next;
        changed.set(key, { key, value: operation.value, createRevision, modRevision: next, lease });
        return undefined;
      });
      if (changed.size > 0) {
        state.revision = next;
        write(changed, "written");
      }
      return { succeeded, revision: state.revision, results };
    },
    grant(ttlSeconds) {
      const lease = String(++leasesGranted);
      state.leases.set(lease, { ttlSeconds, expiresAtMs: timeline.nowMs() + ttlSeconds * 1000 });
      expire(lease);
      return lease;
    },
    renew(lease) {
      const kept = state.leases.get(lease);
      if (kept === undefined) return 0;
      kept.expiresAtMs = timeline.nowMs() + kept.ttlSeconds * 1000;
      return kept.ttlSeconds;
    },
    endLease,
    describe(lease) {
      const kept = state.leases.get(lease);
      if (kept === undefined) return undefined;
      const remainingSeconds = Math.ceil((kept.expiresAtMs - timeline.nowMs()) / 1000);
      const keys = entriesAt("", state.revision).filter((entry) => entry.lease === lease);
      return { ttlSeconds: kept.ttlSeconds, remainingSeconds, keys: keys.map(({ key }) => key) };
    },
    watch(startRevision, watcher) {
      if (startRevision <= state.compacted) return { compacted: state.compacted };
      const past = state.log.filter(({ revision }) => revision >= startRevision);
      for (const { events } of past) watcher.onRevision(events);
      // A watch from a revision that is not there yet stays silent until then.
      const own: Watcher = {
        ...watcher,
        onRevision(events) {
          if (state.revision >= startRevision) watcher.onRevision(events);
        },
      };
      watchers.add(own);
      return { stop: () => void watchers.delete(own) };
    },
    watchers: () => watchers.size,
    compact(revision) {
      state.compacted = Math.max(state.compacted, Math.min(revision, state.revision));
      for (const versions of state.versions.values()) {
        const last = versions.findLastIndex((version) => version.revision <= state.compacted);
        if (last > 0) versions.splice(0, last);
      }
      const from = state.log.findIndex((logged) => logged.revision > state.compacted);
      state.log.splice(0, from === -1 ? state.log.length : from);
    },
    breakWatches,
    backup: () => ({ state: copy(state) }),
    restore(backup) {
      const before = new Map(entriesAt("", state.revision).map((entry) => [entry.key, entry]));
      state = copy(backup.state);
      for (const [lease, kept] of state.leases) {
        kept.expiresAtMs = timeline.nowMs() + kept.ttlSeconds * 1000;
        expire(lease);
      }
      const changes: KeyChange[] = [];
      const after = new Map(entriesAt("", state.revision).map((entry) => [entry.key, entry]));
      for (const key of new Set([...before.keys(), ...after.keys()])) {
        const [was, is] = [before.get(key), after.get(key)];
        if (was?.value !== is?.value || was?.modRevision !== is?.modRevision || was?.lease !== is?.lease) {
          changes.push({ key, before: was, after: is, cause: "restored" });
        }
      }
      onChange(changes);
      breakWatches();
    },
  };
  return model;
}

function copy({ revision, compacted, versions, log, leases }: State): State {
  return {
    revision,
    compacted,
    versions: new Map([...versions].map(([key, own]) => [key, [...own]])),
    log: [...log],
    leases: new Map([...leases].map(([lease, kept]) => [lease, { ...kept }])),
  };
}
