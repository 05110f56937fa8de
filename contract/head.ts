import * as v from "valibot";
import { decodeDocument, documentEntries, safeInteger, versionNumber } from "./document.ts";

/** Bytes of the ring as JSON. The head is read once a second by every isolate, so it is kept small. */
export const RING_BYTES_MAX = 8192;
/** More entries than fit RING_BYTES_MAX with any names: a head that holds more was not written by a publisher. */
const RING_ENTRIES_MAX = 1024;

/**
 * An epoch is a time when nothing forces it higher, so one further ahead than clocks differ was not claimed by a
 * publisher; whoever took it would find every real head older for ever. Milliseconds.
 */
export const EPOCH_AHEAD_MS_MAX = 24 * 3600 * 1000;

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
  /**
   * The epoch of the claim that found nothing here, since which each publisher took over what the last one left. What is of
   * an earlier epoch may have been lost, whatever its revision. Earlier builds leave it out.
   */
  readonly lifeEpoch?: number | undefined;
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
  epoch: versionNumber,
  lifeEpoch: v.optional(versionNumber),
  revision: versionNumber,
  etcdRevision: versionNumber,
  complete: v.boolean(),
  heartbeatAt: safeInteger,
  confirmedAt: safeInteger,
  services: safeInteger,
  instances: safeInteger,
  catalogRevision: versionNumber,
  ring: v.object({
    floor: versionNumber,
    entries: v.pipe(
      v.array(v.tuple([versionNumber, v.string(), v.picklist(["added", "removed"])])),
      v.maxLength(RING_ENTRIES_MAX),
    ),
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
