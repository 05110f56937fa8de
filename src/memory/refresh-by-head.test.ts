import * as fc from "fast-check";
import { expect, it } from "vitest";
import type { Catalog } from "../../contract/catalog.ts";
import type { Head, Ring } from "../../contract/head.ts";
import type { ServiceSnapshot } from "../../contract/snapshot.ts";
import { compareVersions, type Version } from "../../contract/version.ts";
import { addToRing, emptyRing } from "../../registrar/publisher/ring.ts";
import { createBoundedMap } from "./bounded-map.ts";
import { createNamespaceState, type Entry, type NamespaceState } from "./namespace-state.ts";

const SERVICES = ["a", "bb", "ccc", "dddd", "eeeee"];
/** Two or three entries: most sequences leave gaps. */
const RING_BYTES = 75;

/** What Redis held after one commit. */
interface Stored {
  readonly head: Head;
  /** Of what is there, or has ended. */
  readonly snapshots: ReadonlyMap<string, ServiceSnapshot>;
  readonly catalog: Catalog;
}

const services = fc.subarray(SERVICES, { minLength: 1 });
/** How many commits ago a reading is of: a replica that lags. */
const lag = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 6 }) },
);
const turn = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant("publish" as const), services, ended: fc.subarray(SERVICES) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("claim" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("fill" as const), revision: fc.integer({ min: 1, max: 40 }) }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("head" as const), lag }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("read" as const), services, lag, newer: fc.nat({ max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("catalog" as const), lag }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("evict" as const), services }) },
);
type Turn = typeof turn extends fc.Arbitrary<infer T> ? T : never;

function snapshot(service: string, version: Version, isThere: boolean): ServiceSnapshot {
  return {
    namespace: "default",
    service,
    epoch: version.epoch,
    revision: version.revision,
    etcdRevision: 1,
    publishedAt: "2026-11-21T04:30:00.125Z",
    instances: [],
    ...(isThere ? {} : { tombstoneUntil: 1 }),
  };
}

function stored(
  version: Version,
  ring: Ring,
  snapshots: ReadonlyMap<string, ServiceSnapshot>,
  before?: Stored,
): Stored {
  const there = [...snapshots.values()].filter(({ tombstoneUntil }) => tombstoneUntil === undefined);
  const { epoch, revision } = version;
  // Written when the ring no longer reaches back to it, as a publisher does.
  const isKept = before && before.head.epoch === epoch && ring.floor <= before.catalog.revision;
  const fresh: Catalog = {
    namespace: "default",
    epoch,
    revision,
    services: new Map(there.map((one) => [one.service, 0])),
  };
  const catalog = isKept ? before.catalog : fresh;
  const head: Head = {
    namespace: "default",
    identity: "one",
    epoch,
    lifeEpoch: before?.head.lifeEpoch ?? epoch,
    revision,
    etcdRevision: 1,
    complete: true,
    heartbeatAt: 0,
    confirmedAt: 0,
    services: there.length,
    instances: 0,
    catalogRevision: catalog.revision,
    ring,
  };
  return { head, snapshots, catalog };
}

function next(before: Stored, one: Turn): Stored | undefined {
  const { epoch, revision } = before.head;
  if (one.type === "claim") return stored({ epoch: epoch + 1, revision }, before.head.ring, before.snapshots, before);
  if (one.type === "publish") {
    const version = { epoch, revision: revision + 1 };
    const changed = one.services.map((service) => snapshot(service, version, !one.ended.includes(service)));
    const changes = changed.map(({ service, tombstoneUntil }) => {
      return { service, change: tombstoneUntil === undefined ? ("added" as const) : ("removed" as const) };
    });
    const ring = addToRing(before.head.ring, changes, version.revision, RING_BYTES);
    return stored(
      version,
      ring,
      new Map([...before.snapshots, ...changed.map((each) => [each.service, each] as const)]),
      before,
    );
  }
  if (one.type !== "fill") return undefined;
  // Of a Redis that lost everything: revisions begin anew, may be below what readers have, and are those of earlier lives.
  const version = { epoch: epoch + 1, revision: one.revision };
  const there = [...before.snapshots.values()].filter(({ tombstoneUntil }) => tombstoneUntil === undefined);
  const filled = there.map(({ service }) => [service, snapshot(service, version, true)] as const);
  return stored(version, emptyRing(version.revision), new Map(filled));
}

/** Nothing that is marked current is older than what Redis held when the held head was written. */
function faultOf(
  state: NamespaceState,
  entries: ReadonlyMap<string, Entry>,
  history: readonly Stored[],
): string | undefined {
  const head = state.head();
  const then = history.find((one) => head !== undefined && compareVersions(one.head, head) === 0);
  if (!head || !then) return undefined;
  for (const [service, { held, standing }] of entries) {
    const truth = then.snapshots.get(service);
    if (standing.type === "current" && truth && compareVersions(held.snapshot, truth) < 0) {
      return `${service} of ${held.snapshot.revision} is current, and was at ${truth.revision}`;
    }
  }
  // A catalog may be newer than the head, and what is known then is of some moment since.
  const since = history.slice(history.indexOf(then));
  for (const service of SERVICES) {
    const has = state.names.has(service);
    const isThere = ({ snapshots }: Stored) => snapshots.has(service) && !snapshots.get(service)?.tombstoneUntil;
    if (has !== undefined && since.every((one) => isThere(one) !== has))
      return `${service} is ${has ? "" : "not "}known`;
  }
  return undefined;
}

/** A name that was added to a Redis that was lost is not "not there" by the catalog of before, which a replica still has. */
const LOST_AND_FILLED: Turn[] = [
  { type: "publish", services: ["eeeee"], ended: [] },
  { type: "fill", revision: 9 },
  { type: "publish", services: ["a"], ended: [] },
  { type: "read", services: ["a"], lag: 0, newer: 0 },
  { type: "catalog", lag: 3 },
];

it("after any publishes, claims, losses, lags and gaps, what is marked current is, and readers only move forward", () => {
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 40 }), (turns) => {
      const map = createBoundedMap<string, Entry>({ entriesMax: 100 });
      const state = createNamespaceState(map);
      const first = { epoch: 1, revision: 10 };
      const filled = new Map(SERVICES.slice(0, 3).map((service) => [service, snapshot(service, first, true)]));
      const history: Stored[] = [stored(first, emptyRing(first.revision), filled)];
      const held = () =>
        new Map(
          SERVICES.flatMap((service) => {
            const entry = map.peek(service);
            return entry ? [[service, entry] as const] : [];
          }),
        );
      const at = (behind: number) => history[Math.max(0, history.length - 1 - behind)] as Stored;
      let clock = 0;
      const read = (names: readonly string[], headLag: number, newer: number) => {
        const { head } = at(headLag);
        state.acceptHead(head, ++clock);
        for (const service of names) {
          const found = at(Math.max(0, headLag - newer)).snapshots.get(service);
          if (found) state.acceptSnapshot(found, 100, head, -Infinity);
        }
      };
      for (const one of turns) {
        const before = new Map(
          [...held()].map(
            ([
              service,
              {
                held: { snapshot: version },
              },
            ]) => [service, version],
          ),
        );
        const headBefore = state.head();
        const written = next(at(0), one);
        if (written) history.push(written);
        if (one.type === "head") state.acceptHead(at(one.lag).head, ++clock);
        if (one.type === "read") read(one.services, one.lag, one.newer);
        if (one.type === "catalog") state.acceptCatalog(at(one.lag).catalog);
        if (one.type === "evict") for (const service of one.services) map.delete(service);
        expect(faultOf(state, held(), history)).toBeUndefined();
        expect(headBefore ? compareVersions(state.head() ?? headBefore, headBefore) : 0).toBeGreaterThanOrEqual(0);
        for (const [service, version] of before) {
          const now = map.peek(service)?.held.snapshot;
          expect(now ? compareVersions(now, version) : 0).toBeGreaterThanOrEqual(0);
        }
      }
      // Read whole and without a lag, everything is as it is in Redis.
      read(SERVICES, 0, 0);
      state.acceptCatalog(at(0).catalog);
      for (const [service, truth] of at(0).snapshots) {
        const entry = map.peek(service);
        expect(entry && compareVersions(entry.held.snapshot, truth)).toBe(0);
        expect(entry?.standing.type).toBe("current");
      }
      expect([...state.behind(100)]).toEqual([]);
      expect(state.names.complete()).toBe(true);
    }),
    { numRuns: 500, examples: [[LOST_AND_FILLED]] },
  );
});
