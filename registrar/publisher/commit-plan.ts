import type { Hold } from "../../contract/holds.ts";
import type { Instance } from "../../contract/snapshot.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import type { Seal } from "../signing/seal.ts";
import type { HeadGuard, Write } from "./commit-script.ts";
import { announcement, endCommit, type Published } from "./published.ts";
import { createBatch, isOversized } from "./request-size.ts";
import type { RingChange } from "./ring.ts";
import { snapshotWrite, tombstoneWrite, type SnapshotStamp } from "./snapshot-builder.ts";

/** One request to Redis, to be made under the plan's guard. */
export interface PlannedRequest {
  readonly writes: readonly Write[];
  /** With the last one. */
  readonly head?: string;
}

/**
 * A commit, one request after the other. A service is serialised once its request is next, so that filling a
 * namespace holds one request in memory and not all of it.
 */
export interface CommitPlan {
  readonly guard: HeadGuard;
  /** The request to make now: with the same bytes until it was `made`, however often it is tried. */
  request(): PlannedRequest;
  /** It was made: goes on to the next. After the last, what Redis holds now. */
  made(): Published | undefined;
  /** Whether the request is one snapshot, and larger than a request should be. */
  isOversized(): boolean;
  /**
   * Redis does not take the request for its size. Of many snapshots it makes one request each; one alone it leaves
   * out, and says whose that was. Undefined when there is nothing in the request to do without.
   */
  shrink(): { readonly leftOut: string | undefined } | undefined;
  /** How many services are published anew by what has been serialised so far; 0 for a heartbeat. */
  changes(): number;
  /** The last request writes the catalog. */
  writesCatalog(): boolean;
}

export interface CommitInput {
  readonly published: Published;
  /** `fill` writes all of `changed` as if nothing were known: no ring entry tells of what was before. */
  readonly type: "fill" | "changes";
  /** The services to publish anew; none for a heartbeat. */
  readonly changed: Iterable<string>;
  /** Asked once for each of `changed`, when it is serialised. */
  readonly instancesOf: (service: string) => readonly Instance[];
  /** What is stored with a snapshot for the next leader; undefined where nothing is held. */
  readonly holdsOf: (service: string) => readonly Hold[] | undefined;
  readonly etcdRevision: number;
  /** What is published anew has at least this revision. */
  readonly revisionMin: number;
  /** Milliseconds since the epoch, by the publisher's clock. */
  readonly nowMs: number;
  readonly confirmedAt: number;
  /** The catalog is written if it is stale, and not only when it must be. */
  readonly catalogDue: boolean;
  readonly seal: Seal;
}

/** One service serialised. */
interface Change {
  readonly service: string;
  readonly write: Write;
  /** Instances; undefined for a service that has ended. */
  readonly count: number | undefined;
}

type Outcome = "made" | "too_large";

export function planCommit(input: CommitInput): CommitPlan {
  const { published, etcdRevision, nowMs, seal } = input;
  const { namespace, epoch } = published.head;
  const isFill = input.type === "fill";
  const revisionNext = Math.max(etcdRevision, input.revisionMin, published.head.revision + 1);
  const stamp: SnapshotStamp = { namespace, epoch, revision: revisionNext, etcdRevision, nowMs, seal };
  const queue = [...input.changed];
  let position = 0;
  /** Serialised, with no place in the request before. */
  let carried: Change | undefined;
  let changes = 0;
  let writesCatalog = false;
  /** The snapshots in the request to make now. */
  let current: readonly Change[] = [];
  let leftOut: string | undefined;
  const ringChanges: RingChange[] = [];
  const counts = new Map<string, number | undefined>();

  function serialiseNext(): Change | undefined {
    while (position < queue.length) {
      const service = queue[position++] as string;
      const instances = input.instancesOf(service);
      if (instances.length > 0) {
        return {
          service,
          write: snapshotWrite(stamp, service, instances, input.holdsOf(service)),
          count: instances.length,
        };
      }
      if (published.services.has(service)) return { service, write: tombstoneWrite(stamp, service), count: undefined };
      // The rest came and went between two commits: nobody has heard of it.
    }
    return undefined;
  }

  /** As many of the services that are left as fit one request. */
  function nextBatch() {
    const batch = createBatch();
    const batched: Change[] = [];
    for (;;) {
      const change = carried ?? serialiseNext();
      carried = undefined;
      if (change === undefined) return { batch, batched, isLast: true };
      if (!batch.fits(change.write)) {
        carried = change;
        return { batch, batched, isLast: false };
      }
      batch.add(change.write);
      batched.push(change);
      changes++;
    }
  }

  function* send(batched: readonly Change[]): Generator<PlannedRequest, void, Outcome> {
    current = batched;
    const outcome = yield { writes: batched.map(({ write }) => write) };
    const [first] = batched;
    if (outcome === "made") {
      ringChanges.push(...batched.map(ringChangeOf));
      for (const { service, count } of batched) counts.set(service, count);
    } else if (batched.length > 1) {
      for (const change of batched) yield* send([change]);
    } else if (first) {
      leftOut = first.service;
      changes--;
      // A try whose outcome nobody knows may have written it all the same: its name must not get lost.
      if (!published.services.has(leftOut)) counts.set(leftOut, 0);
    }
  }

  /** The commit's end, once everything but `batched` is in Redis. */
  function end(batched: readonly Change[], catalogForced: boolean) {
    const ended = endCommit({
      published,
      isFill,
      changes: [...ringChanges, ...batched.map(ringChangeOf)],
      counts: new Map([...counts, ...batched.map(({ service, count }) => [service, count] as const)]),
      revisionNext,
      etcdRevision,
      nowMs,
      confirmedAt: input.confirmedAt,
      catalogDue: input.catalogDue,
      catalogForced,
      seal,
    });
    current = batched;
    writesCatalog = ended.catalog !== undefined;
    const writes = [...batched.map(({ write }) => write), ...(ended.catalog ? [ended.catalog] : [])];
    return { ...ended, request: { writes, head: ended.headText } };
  }

  function* requests(): Generator<PlannedRequest, Published, Outcome> {
    let { batch, batched, isLast } = nextBatch();
    const announces = !isLast && queue.some((service) => !published.services.has(service));
    // A publisher that dies between two requests leaves services that no head tells of. Their names are written before
    // them, with the revision that is still the head's, so that whoever claims next finds them and ends those it must.
    if (announces) yield { writes: [announcement(published, queue, seal)] };
    while (!isLast) {
      yield* send(batched);
      ({ batch, batched, isLast } = nextBatch());
    }
    // Nearly every commit is one request and no more: snapshots, catalog and head together.
    const last = end(batched, isFill || announces);
    const [first] = batched;
    const isApart = first && (isOversized(first.write) || (last.catalog && !batch.fits(last.catalog)));
    if (!isApart && (yield last.request) === "made") return last.result();
    if (isApart) yield* send(batched);
    else for (const change of batched) yield* send([change]);
    const alone = end([], isFill || announces);
    yield alone.request;
    return alone.result();
  }

  const steps = requests();
  let step = steps.next();

  return {
    guard: published.guard,
    request() {
      if (step.done) throw new FingerpostError("internal", "A commit that is done has no further request.");
      return step.value;
    },
    made() {
      step = steps.next("made");
      return step.done ? step.value : undefined;
    },
    isOversized: () => current.length === 1 && current[0] !== undefined && isOversized(current[0].write),
    shrink() {
      if (current.length === 0) return undefined;
      leftOut = undefined;
      step = steps.next("too_large");
      return { leftOut };
    },
    changes: () => changes,
    writesCatalog: () => writesCatalog,
  };
}

function ringChangeOf({ service, count }: Change): RingChange {
  return { service, change: count === undefined ? "removed" : "added" };
}
