import * as v from "valibot";
import { decodeDocument, documentEntries, safeInteger, versionNumber } from "./document.ts";
import type { ServiceSnapshot } from "./snapshot.ts";

/**
 * Why an instance of a snapshot is `suspect`: etcd has lost it, or has it as down, and the publisher holds it back. Only
 * publishers read this, so that a hold outlives the leader that made it.
 */
export interface Hold {
  readonly id: string;
  /** `lease`: its lease has ended. `missing`: etcd had it no more when it was listed. Else the cause of a `down`. */
  readonly cause: string;
  /** Milliseconds since the epoch, by the publisher's clock. */
  readonly since: number;
  /** When the hold ends whatever happens; milliseconds since the epoch, by the publisher's clock. */
  readonly until: number;
  /** Whose lease it was under, as far as that is known. */
  readonly agent?: string;
  /** Of that lease. */
  readonly ttlSeconds?: number;
}

/** A snapshot as it is stored. */
export interface StoredSnapshot extends ServiceSnapshot {
  /** Left out when nothing is held. */
  readonly holds?: readonly Hold[];
}

/** Of a lease. Finite: JSON has no other numbers, yet 1e999 is read as one, and would be written again as null. */
export const leaseTtlSchema = v.pipe(v.number(), v.finite(), v.minValue(0));

/**
 * Instances are looked at no closer than to tell them apart: a publisher that takes over reads everything there is, and
 * needs hardly any of it.
 */
const storedSchema = v.object({
  ...documentEntries("service"),
  service: v.string(),
  etcdRevision: versionNumber,
  instances: v.array(v.looseObject({ id: v.string(), status: v.string() })),
  holds: v.exactOptional(
    v.array(
      v.object({
        id: v.string(),
        cause: v.string(),
        since: safeInteger,
        until: safeInteger,
        agent: v.exactOptional(v.string()),
        ttlSeconds: v.exactOptional(leaseTtlSchema),
      }),
    ),
  ),
});

/** What a publisher that takes over needs of a stored snapshot. */
export interface SnapshotFound {
  readonly etcdRevision: number;
  /** As they are stored: only `id` and `status` have been checked. */
  readonly instances: readonly Readonly<Record<string, unknown> & { readonly id: string; readonly status: string }>[];
  readonly holds: readonly Hold[];
}

/** Throws `unavailable` unless `text` is a snapshot of exactly this service, in a schema this build knows. */
export function decodeSnapshotFound(text: string, namespace: string, service: string): SnapshotFound {
  const { etcdRevision, instances, holds = [] } = decodeDocument(storedSchema, text, { namespace, service });
  return { etcdRevision, instances, holds };
}
