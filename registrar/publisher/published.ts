import { encodeCatalog } from "../../contract/catalog.ts";
import { encodeHead, type Head } from "../../contract/head.ts";
import { catalogKey } from "../../contract/redis-keys.ts";
import { DOCUMENT_LIFE_MS, HEAD_LIFE_MS, type Seal } from "../signing/seal.ts";
import { headGuard, type HeadGuard, type Write } from "./commit-script.ts";
import { addToRing, emptyRing, type RingChange } from "./ring.ts";

/** What Redis holds of a namespace, as of this publisher's last commit or claim. Only the latest one may be used. */
export interface Published {
  readonly head: Head;
  readonly guard: HeadGuard;
  /**
   * Instances by service. After a claim: the services that may be there, each with 0. A commit moves this on in place,
   * since a copy of 10,000 for each of 40 commits a second was most of what a commit cost.
   */
  readonly services: Map<string, number>;
  /** The names of `services` in order, where a catalog has needed them since they last changed. */
  readonly names?: readonly string[];
  /** The catalog in Redis has other names or counts than `services`. */
  readonly catalogStale: boolean;
}

/** What a commit makes of a namespace once its snapshots are in Redis. */
export interface CommitEnd {
  readonly headText: string;
  /** To be written with the head. */
  readonly catalog: Write | undefined;
  /** Moves `published` on: to be called once, when the head is in Redis. */
  result(): Published;
}

export interface CommitEndOptions {
  readonly published: Published;
  readonly isFill: boolean;
  readonly changes: readonly RingChange[];
  /** By service, what it has where that may not be what it had; undefined: it has ended. */
  readonly counts: ReadonlyMap<string, number | undefined>;
  /** Of a commit that changes anything. */
  readonly revisionNext: number;
  readonly etcdRevision: number;
  readonly nowMs: number;
  readonly confirmedAt: number;
  /** The catalog is written if it is stale, and not only when it must be. */
  readonly catalogDue: boolean;
  readonly catalogForced: boolean;
  readonly seal: Seal;
}

export function endCommit(options: CommitEndOptions): CommitEnd {
  const { published, isFill, changes, counts, revisionNext } = options;
  const { services } = published;
  const { namespace, epoch } = published.head;
  const revision = isFill || changes.length > 0 ? revisionNext : published.head.revision;
  const ring = isFill ? emptyRing(revision) : addToRing(published.head.ring, changes, revision);

  // A fill counts from nothing: what a claim found are names without counts.
  let instances = isFill ? 0 : published.head.instances;
  let size = services.size;
  let stale = published.catalogStale;
  let sameNames = true;
  for (const [service, count] of counts) {
    const before = services.get(service);
    instances += (count ?? 0) - (isFill ? 0 : (before ?? 0));
    size += Number(count !== undefined) - Number(before !== undefined);
    stale ||= before !== count;
    sameNames &&= (before === undefined) === (count === undefined);
  }

  let names = sameNames ? published.names : undefined;
  let catalog: Write | undefined;
  if (options.catalogForced || ring.floor > published.head.catalogRevision || (stale && options.catalogDue)) {
    const countOf = (service: string) => (counts.has(service) ? counts.get(service) : services.get(service));
    names ??= [...new Set([...services.keys(), ...counts.keys()])]
      .filter((service) => countOf(service) !== undefined)
      .toSorted(byText);
    catalog = catalogWrite(options.seal, { namespace, epoch, revision }, names, countOf);
  }
  const head: Head = {
    ...published.head,
    revision,
    etcdRevision: options.etcdRevision,
    complete: published.head.complete || isFill,
    heartbeatAt: options.nowMs,
    confirmedAt: options.confirmedAt,
    services: size,
    instances,
    catalogRevision: catalog ? revision : published.head.catalogRevision,
    ring,
  };
  const headText = options.seal("head", namespace, "", encodeHead(head), HEAD_LIFE_MS);
  return {
    headText,
    catalog,
    result() {
      for (const [service, count] of counts) {
        if (count === undefined) services.delete(service);
        else services.set(service, count);
      }
      const guard = headGuard(headText);
      return { head, guard, services, catalogStale: stale && !catalog, ...(names ? { names } : {}) };
    },
  };
}

/** The catalog of `published` as it is, with `added` among its names. */
export function announcement({ head, services }: Published, added: readonly string[], seal: Seal): Write {
  const names = [...new Set([...services.keys(), ...added])].toSorted(byText);
  return catalogWrite(seal, head, names, (service) => services.get(service));
}

function catalogWrite(
  seal: Seal,
  { namespace, epoch, revision }: Pick<Head, "namespace" | "epoch" | "revision">,
  names: readonly string[],
  countOf: (service: string) => number | undefined,
): Write {
  const services = new Map(names.map((service) => [service, countOf(service) ?? 0]));
  const document = encodeCatalog({ namespace, epoch, revision, services });
  return { key: catalogKey(namespace), value: seal("catalog", namespace, "", document, DOCUMENT_LIFE_MS) };
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
