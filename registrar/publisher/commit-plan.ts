import { encodeCatalog } from "../../contract/catalog.ts";
import { encodeHead, type Head, type Ring } from "../../contract/head.ts";
import { catalogKey } from "../../contract/redis-keys.ts";
import type { Instance } from "../../contract/snapshot.ts";
import { headGuard, type HeadGuard, type Write } from "./commit-script.ts";
import { addToRing, emptyRing, type RingChange } from "./ring.ts";
import { snapshotWrite, tombstoneWrite, type SnapshotStamp } from "./snapshot-builder.ts";

/**
 * Of one request to Redis: Lua runs one script at a time, and REST services take requests of a bounded size. A snapshot
 * that is larger by itself goes alone.
 */
export const CHUNK_BYTES_MAX = 1024 * 1024;
export const CHUNK_KEYS_MAX = 200;

/** What Redis holds of a namespace, as of this publisher's last commit or claim. */
export interface Published {
  readonly head: Head;
  readonly guard: HeadGuard;
  /** Instances by service. After a claim: the services that may be there, each with 0. */
  readonly services: ReadonlyMap<string, number>;
  /** The catalog in Redis has other names or counts than `services`. */
  readonly catalogStale: boolean;
}

export interface CommitPlan {
  readonly namespace: string;
  readonly guard: HeadGuard;
  /** Made in order under the guard, the head with the last. At least one, which may be empty. */
  readonly chunks: readonly (readonly Write[])[];
  readonly headText: string;
  /** How many services it publishes anew; 0 for a heartbeat. */
  readonly changes: number;
  readonly writesCatalog: boolean;
  /** What Redis holds afterwards. */
  readonly result: Published;
}

export interface CommitInput {
  readonly published: Published;
  /** `fill` writes all of `changed` as if nothing were known: no ring entry tells of what was before. */
  readonly type: "fill" | "changes";
  /** The services to publish anew; none for a heartbeat. */
  readonly changed: Iterable<string>;
  readonly instancesOf: (service: string) => readonly Instance[];
  readonly etcdRevision: number;
  /** What is published anew has at least this revision. */
  readonly revisionMin: number;
  /** Milliseconds since the epoch, by the publisher's clock. */
  readonly nowMs: number;
  readonly confirmedAt: number;
  /** The catalog is written if it is stale, and not only when it must be. */
  readonly catalogDue: boolean;
}

/** Plans one commit, all of its bytes included: what is tried again after an unknown outcome must be the same. */
export function planCommit(input: CommitInput): CommitPlan {
  const { published, type, etcdRevision, nowMs } = input;
  const { namespace, epoch } = published.head;
  const services = new Map(published.services);
  const writes: Write[] = [];
  const changes: RingChange[] = [];
  let countsChanged = false;

  const revisionNext = Math.max(etcdRevision, input.revisionMin, published.head.revision + 1);
  const stamp: SnapshotStamp = { namespace, epoch, revision: revisionNext, etcdRevision, nowMs };
  for (const service of input.changed) {
    const instances = input.instancesOf(service);
    const before = services.get(service);
    if (instances.length > 0) {
      writes.push(snapshotWrite(stamp, service, instances));
      changes.push({ service, change: "added" });
      services.set(service, instances.length);
    } else if (before !== undefined) {
      writes.push(tombstoneWrite(stamp, service));
      changes.push({ service, change: "removed" });
      services.delete(service);
    }
    // The rest came and went between two commits: nobody has heard of it.
    countsChanged ||= before !== services.get(service);
  }

  const filled = type === "fill";
  const revision = filled || changes.length > 0 ? revisionNext : published.head.revision;
  const ring: Ring = filled ? emptyRing(revision) : addToRing(published.head.ring, changes, revision);
  const several = toChunks(writes).length > 1;
  const stale = published.catalogStale || countsChanged;
  const mustWriteCatalog = filled || several || ring.floor > published.head.catalogRevision;
  const writesCatalog = mustWriteCatalog || (stale && input.catalogDue);
  if (writesCatalog) writes.push(catalogWrite(namespace, epoch, revision, services));
  if (several) {
    // A publisher that dies between two chunks leaves services that no head tells of. Their names are written before
    // them, with the revision that is still the head's, so that whoever claims next finds them and ends those it must.
    const names = new Map([...services, ...published.services]);
    writes.unshift(catalogWrite(namespace, epoch, published.head.revision, names));
  }

  const head: Head = {
    ...published.head,
    revision,
    etcdRevision,
    complete: published.head.complete || filled,
    heartbeatAt: nowMs,
    confirmedAt: input.confirmedAt,
    services: services.size,
    instances: sum(services.values()),
    catalogRevision: writesCatalog ? revision : published.head.catalogRevision,
    ring,
  };
  const headText = encodeHead(head);
  return {
    namespace,
    guard: published.guard,
    chunks: toChunks(writes),
    headText,
    changes: changes.length,
    writesCatalog,
    result: { head, guard: headGuard(headText), services, catalogStale: stale && !writesCatalog },
  };
}

function catalogWrite(
  namespace: string,
  epoch: number,
  revision: number,
  services: ReadonlyMap<string, number>,
): Write {
  const sorted = [...services].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return {
    key: catalogKey(namespace),
    value: encodeCatalog({ namespace, epoch, revision, services: new Map(sorted) }),
  };
}

function toChunks(writes: readonly Write[]): Write[][] {
  let chunk: Write[] = [];
  const chunks = [chunk];
  let bytes = 0;
  for (const write of writes) {
    const size = Buffer.byteLength(write.key) + Buffer.byteLength(write.value);
    if (chunk.length > 0 && (chunk.length === CHUNK_KEYS_MAX || bytes + size > CHUNK_BYTES_MAX)) {
      chunks.push((chunk = []));
      bytes = 0;
    }
    chunk.push(write);
    bytes += size;
  }
  return chunks;
}

function sum(counts: Iterable<number>): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
