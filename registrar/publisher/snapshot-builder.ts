import type { Hold, StoredSnapshot } from "../../contract/holds.ts";
import { serviceKey } from "../../contract/redis-keys.ts";
import { encodeSnapshot, type Instance } from "../../contract/snapshot.ts";
import type { Version } from "../../contract/version.ts";
import { DOCUMENT_LIFE_MS, type Seal } from "../signing/seal.ts";
import type { Write } from "./commit-script.ts";

/**
 * How long a service that has ended counts as known and without instances. Too short: a service that is replaced
 * answers "not found" in between. Too long: the typing error of a caller looks like an outage for longer.
 */
export const TOMBSTONE_MS = 120_000;
/** A tombstone's key outlives the tombstone, so that readers whose clock is behind still find it. */
export const TOMBSTONE_KEY_GRACE_MS = 60_000;

/** What every snapshot of one commit has in common. */
export interface SnapshotStamp extends Version {
  readonly namespace: string;
  readonly etcdRevision: number;
  /** Milliseconds since the epoch, by the publisher's clock. */
  readonly nowMs: number;
  readonly seal: Seal;
}

export function snapshotWrite(
  stamp: SnapshotStamp,
  service: string,
  instances: readonly Instance[],
  holds?: readonly Hold[],
): Write {
  const snapshot: StoredSnapshot = { ...snapshotOf(stamp, service, instances), ...(holds ? { holds } : {}) };
  return {
    key: serviceKey(stamp.namespace, service),
    value: stamp.seal("service", stamp.namespace, service, encodeSnapshot(snapshot), DOCUMENT_LIFE_MS),
  };
}

/** The snapshot of a service that has ended; its key expires by itself. */
export function tombstoneWrite(stamp: SnapshotStamp, service: string): Write {
  const { instances, ...snapshot } = snapshotOf(stamp, service, []);
  const expiresInMs = TOMBSTONE_MS + TOMBSTONE_KEY_GRACE_MS;
  const document = encodeSnapshot({ ...snapshot, tombstoneUntil: stamp.nowMs + TOMBSTONE_MS, instances });
  return {
    key: serviceKey(stamp.namespace, service),
    // Nobody can say with it that the service has ended once it is there again.
    value: stamp.seal("service", stamp.namespace, service, document, expiresInMs),
    expiresInMs,
  };
}

function snapshotOf(stamp: SnapshotStamp, service: string, instances: readonly Instance[]): StoredSnapshot {
  const { namespace, epoch, revision, etcdRevision, nowMs } = stamp;
  return { namespace, service, epoch, revision, etcdRevision, publishedAt: new Date(nowMs).toISOString(), instances };
}
