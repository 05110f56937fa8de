import type { Instance, ServiceSnapshot } from "../../contract/snapshot.ts";

/** A snapshot in memory, with its answers already serialised as far as they do not depend on the request. */
export interface Held {
  readonly snapshot: ServiceSnapshot;
  /** A strong entity tag: the same snapshot and the same query give the same bytes. */
  readonly etag: string;
  /** The body of the answer with these of the snapshot's instances, in the snapshot's order. */
  body(instances: readonly Instance[]): string;
  /** The text of one of the snapshot's instances. */
  text(instance: Instance): string;
  /** The body of a pick. */
  pickBody(instance: Instance): string;
  /** The body that `make` gives, made once: for the request without filters. */
  unfiltered(make: () => string): Uint8Array<ArrayBuffer>;
  /** An estimate of the memory it takes, in bytes. */
  readonly weight: number;
}

/** Besides its text, a snapshot is held as objects, as one text an instance, and as a body. */
const WEIGHT_PER_CHARACTER = 4;
const WEIGHT_BASE = 512;
/** Told in entity tags, so that a build that serialises otherwise gives other ones. */
const ANSWER_FORMAT = 1;

const encoder = new TextEncoder();

export function createHeld(snapshot: ServiceSnapshot, textLength: number): Held {
  const { tombstoneUntil: _tombstoneUntil, instances: _instances, ...rest } = snapshot;
  const { namespace, service, epoch, revision, etcdRevision, publishedAt } = rest;
  const opening = JSON.stringify({ namespace, service, epoch, revision, etcdRevision, publishedAt }).slice(0, -1);
  const texts = new Map<Instance, string>();
  let bytes: Uint8Array<ArrayBuffer> | undefined;

  function textOf(instance: Instance): string {
    let text = texts.get(instance);
    if (text === undefined) {
      text = JSON.stringify(instance);
      texts.set(instance, text);
    }
    return text;
  }

  const body = (instances: readonly Instance[]) => `${opening},"instances":[${instances.map(textOf).join(",")}]}`;
  return {
    snapshot,
    etag: `"${ANSWER_FORMAT}-${epoch.toString(36)}-${revision.toString(36)}"`,
    weight: WEIGHT_BASE + WEIGHT_PER_CHARACTER * textLength,
    body,
    text: textOf,
    pickBody: (instance) => `${opening},"instance":${textOf(instance)}}`,
    unfiltered(make) {
      bytes ??= encoder.encode(make());
      return bytes;
    },
  };
}
