import * as v from "valibot";
import { decodeDocument, documentEntries, safeInteger } from "./document.ts";

/** Bytes of the ring as JSON. The head is read once a second by every isolate, so it is kept small. */
export const RING_BYTES_MAX = 8192;

/**
 * The latest change of one service: at `revision` it was `added` (it has a snapshot with instances) or `removed` (its
 * snapshot is a tombstone). It tells the state after the change, so that a held catalog can be patched from it.
 */
export type RingEntry = readonly [revision: number, service: string, change: "added" | "removed"];

export interface Ring {
  /** Every change after this revision is in `entries`; of earlier ones the ring says nothing. */
  readonly floor: number;
  /** Ordered by revision, one entry a service. */
  readonly entries: readonly RingEntry[];
}

/** The commit point of a namespace: written last, read first. */
export interface Head {
  readonly namespace: string;
  /** Of the etcd this is published from. */
  readonly identity: string;
  readonly epoch: number;
  readonly revision: number;
  readonly etcdRevision: number;
  /** False while a publisher that found nothing here has not yet filled it: no absence follows from such a head. */
  readonly complete: boolean;
  /** Milliseconds since the epoch, by the publisher's clock: when it last wrote this. */
  readonly heartbeatAt: number;
  /** Milliseconds since the epoch, by the publisher's clock: when it last had proof that its watch was current. */
  readonly confirmedAt: number;
  readonly services: number;
  readonly instances: number;
  /** The revision of the catalog in Redis; it is never below the ring's floor. */
  readonly catalogRevision: number;
  readonly ring: Ring;
}

const headSchema = v.object({
  ...documentEntries("head"),
  identity: v.string(),
  epoch: safeInteger,
  revision: safeInteger,
  etcdRevision: safeInteger,
  complete: v.boolean(),
  heartbeatAt: safeInteger,
  confirmedAt: safeInteger,
  services: safeInteger,
  instances: safeInteger,
  catalogRevision: safeInteger,
  ring: v.object({
    floor: safeInteger,
    entries: v.array(v.tuple([safeInteger, v.string(), v.picklist(["added", "removed"])])),
  }),
});

export function encodeHead(head: Head): string {
  return JSON.stringify({ schema: 1, kind: "head", ...head });
}

/** Throws `unavailable` unless `text` is this namespace's head in a schema this build knows. */
export function decodeHead(text: string, namespace: string): Head {
  const { schema: _schema, kind: _kind, ...head } = decodeDocument(headSchema, text, { namespace });
  return head;
}
