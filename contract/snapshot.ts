import * as v from "valibot";
import type { Registration, Status } from "./registration.ts";
import { decodeDocument, documentEntries, safeInteger, versionNumber } from "./document.ts";

/**
 * `suspect` is a registration that etcd has lost, or has as down, among too many at once to be believed: the publisher
 * holds it back, and it is served as healthy.
 */
export type InstanceStatus = Status | "suspect";

/** A registration as it is published. */
export interface Instance extends Omit<Registration, "status"> {
  readonly status: InstanceStatus;
}

/** The instances of one service, ordered by id. */
export interface ServiceSnapshot {
  readonly namespace: string;
  readonly service: string;
  readonly epoch: number;
  readonly revision: number;
  /** The etcd revision this was made from. */
  readonly etcdRevision: number;
  /** RFC 3339, UTC, by the publisher's clock. */
  readonly publishedAt: string;
  /**
   * On a tombstone, the snapshot of a service that has ended: milliseconds since the epoch until which the service
   * counts as known and without instances. Afterwards it counts as unknown.
   */
  readonly tombstoneUntil?: number;
  readonly instances: readonly Instance[];
}

/** Fields of a newer publisher pass through, to callers that know them. */
export const instanceSchema = v.looseObject({
  id: v.string(),
  address: v.string(),
  port: safeInteger,
  protocol: v.string(),
  url: v.exactOptional(v.string()),
  version: v.exactOptional(v.string()),
  region: v.exactOptional(v.string()),
  zone: v.exactOptional(v.string()),
  weight: safeInteger,
  tags: v.array(v.string()),
  metadata: v.record(v.string(), v.string()),
  status: v.picklist(["up", "draining", "down", "suspect"]),
  cause: v.exactOptional(v.string()),
  registeredAt: v.string(),
});

/** What a snapshot and the answers made of it have in common. */
export const publishedEntries = {
  service: v.string(),
  epoch: versionNumber,
  revision: versionNumber,
  etcdRevision: versionNumber,
  publishedAt: v.string(),
};

const snapshotSchema = v.object({
  ...documentEntries("service"),
  ...publishedEntries,
  tombstoneUntil: v.exactOptional(safeInteger),
  instances: v.array(instanceSchema),
});

export function encodeSnapshot(snapshot: ServiceSnapshot): string {
  return JSON.stringify({ schema: 1, kind: "service", ...snapshot });
}

/** Throws `unavailable` unless `text` is a snapshot of exactly this service, in a schema this build knows. */
export function decodeSnapshot(text: string, namespace: string, service: string): ServiceSnapshot {
  const { schema: _schema, kind: _kind, ...snapshot } = decodeDocument(snapshotSchema, text, { namespace, service });
  return snapshot;
}
