import * as fc from "fast-check";
import semver from "semver";
import { tryParseRange } from "verkit/range";
import { describe, expect, it } from "vitest";
import type { Instance, ServiceSnapshot } from "../../contract/snapshot.ts";
import { instance } from "../../test/support/instance.ts";
import { createQuestion } from "../http/question.ts";
import { createHeld } from "./held.ts";
import { createPlaces } from "./near.ts";
import { candidatesOf, HEALTH_VALUES, NO_FILTERS, select, type Filters } from "./selection.ts";
import { createSelections } from "./selections.ts";

const VERSIONS = ["1.2.3", "1.9.0", "2.0.0", "2.1.0-rc.1", "v3.0.0", "latest", "1.0"];
const RANGES = ["^1.2", ">=2", "1.x || 3", "2.1.0-rc.1"];
const PLACES = ["eu-1", "EU-1", "us-1", "a", "b"];

const instances = fc
  .array(
    fc.record(
      {
        version: fc.constantFrom(...VERSIONS),
        region: fc.constantFrom("eu-1", "us-1", "Eu-1"),
        zone: fc.constantFrom("a", "b", "eu-1"),
        weight: fc.constantFrom(0, 1, 100, 65_535),
        tags: fc.subarray(["t", "u", "constructor"]),
        metadata: fc.constantFrom({}, { k: "1" }, { k: "2", toString: "x" }),
        status: fc.constantFrom<Instance["status"]>("up", "draining", "down", "suspect"),
      },
      { requiredKeys: ["weight", "tags", "metadata", "status"], noNullPrototype: true },
    ),
    { maxLength: 10 },
  )
  .map((all) => all.map((changed, index) => instance(`i${index}`, changed as Partial<Instance>)));

interface Asked {
  readonly range?: string;
  readonly tags: readonly string[];
  readonly region?: string;
  readonly zone?: string;
  readonly metadata: readonly (readonly [string, string])[];
  readonly health: Filters["health"];
  readonly limit?: number;
  readonly near?: string;
}

/** Most are left out: of few instances hardly one meets all of them. */
const perhaps = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const asked: fc.Arbitrary<Asked> = fc
  .record({
    range: perhaps(fc.constantFrom(...RANGES)),
    tags: perhaps(fc.subarray(["t", "u", "constructor"], { minLength: 1, maxLength: 2 })),
    region: perhaps(fc.constantFrom("eu-1", "us-1")),
    zone: perhaps(fc.constantFrom("a", "b")),
    metadata: perhaps(fc.constantFrom<Asked["metadata"]>([["k", "1"]], [["toString", "x"]], [["constructor", ""]])),
    health: fc.constantFrom(...HEALTH_VALUES),
    limit: perhaps(fc.integer({ min: 1, max: 6 })),
    near: fc.option(fc.constantFrom(...PLACES), { nil: undefined }),
  })
  .map(({ tags = [], metadata = [], health, ...rest }) => {
    const given = Object.entries(rest).filter(([, value]) => value !== undefined);
    return { tags, metadata, health, ...(Object.fromEntries(given) as Partial<Asked>) };
  });

function filtersOf({ range, ...rest }: Asked): Filters {
  const version = range === undefined ? undefined : tryParseRange(range);
  return { ...rest, ...(version ? { version } : {}) };
}

/** The same by the words of the documentation, one instance at a time and without a thought of what it costs. */
function reference(all: readonly Instance[], one: Asked): readonly string[] {
  const lower = (text?: string) => text?.toLowerCase();
  const matching = all.filter((each) => {
    const own = new Map(Object.entries(each.metadata));
    if (one.range !== undefined && !semver.satisfies(each.version ?? "", one.range)) return false;
    if (one.tags.some((tag) => !each.tags.includes(tag))) return false;
    if (one.region !== undefined && one.region !== each.region) return false;
    if (one.zone !== undefined && one.zone !== each.zone) return false;
    return one.metadata.every(([key, value]) => own.get(key) === value);
  });
  const served = matching.filter(({ status }) => status === "up" || status === "suspect");
  const notDown = matching.filter(({ status }) => status !== "down");
  const healthy = {
    all: matching,
    healthy: matching.filter(({ status }) => status === "up"),
    "healthy-or-all": served.length > 0 ? served : notDown,
  }[one.health];
  const place = lower(one.near);
  const inZone = all.filter((each) => place !== undefined && lower(each.zone) === place);
  const order = [...new Set([...inZone.flatMap(({ region }) => lower(region) ?? []), ...(place ? [place] : [])])];
  const distance = (each: Instance) => {
    if (place === undefined) return 0;
    if (lower(each.zone) === place) return -1;
    const at = order.indexOf(lower(each.region) ?? "");
    return at === -1 ? order.length : at;
  };
  return healthy
    .toSorted((a, b) => distance(a) - distance(b))
    .slice(0, one.limit)
    .map(({ id }) => id);
}

const places = createPlaces(new Map());

describe("what filters select", () => {
  it("is what their words say, for any instances and any of them together", () => {
    fc.assert(
      fc.property(instances, asked, (all, one) => {
        const ids = select(all, filtersOf(one), places.of(one.near, undefined)).map(({ id }) => id);
        expect(ids).toEqual(reference(all, one));
      }),
      { numRuns: 1000 },
    );
  });

  it("is remembered under its own question and revision only", () => {
    const turn = fc.record({ all: instances, which: fc.nat({ max: 1 }), revision: fc.integer({ min: 1, max: 3 }) });
    const questions = fc.tuple(asked, asked);
    fc.assert(
      fc.property(
        questions,
        fc.array(turn, { maxLength: 12 }),
        fc.constantFrom(2000, 1_000_000),
        (ones, turns, bytesMax) => {
          const selections = createSelections(bytesMax, () => 0.5);
          const byRevision = new Map<number, readonly Instance[]>();
          for (const { all, which, revision } of turns) {
            const one = ones[which] ?? ones[0];
            const published = byRevision.get(revision) ?? all;
            byRevision.set(revision, published);
            const held = createHeld(snapshotOf(published, revision), 100);
            const question = createQuestion("service", held.snapshot, filtersOf(one));
            const body = selections.body(held, question, places.of(one.near, undefined));
            const answer = JSON.parse(new TextDecoder().decode(body)) as ServiceSnapshot;
            expect(answer.instances.map(({ id }) => id)).toEqual(reference(published, one));
            expect(answer.revision).toBe(revision);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it("is what a pick is of: nothing else, and nothing of weight 0 while another has one", () => {
    fc.assert(
      fc.property(
        instances,
        asked,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (all, one, drawn) => {
          const filters = filtersOf(one);
          const place = places.of(one.near, undefined);
          const held = createHeld(snapshotOf(all, 1), 100);
          const candidates = candidatesOf(all, filters, place);
          const weighted = candidates.filter(({ weight }) => weight > 0);
          const allowed = (weighted.length > 0 ? weighted : candidates).map(({ id }) => id);
          const selections = createSelections(1_000_000, () => drawn);
          const target = { namespace: "default", service: "web" };
          for (const [type, key] of [
            ["pick", undefined],
            ["pick-by-key", String(drawn)],
          ] as const) {
            const picked = selections.pick(held, createQuestion(type, target, filters), place, key);
            expect(picked ? allowed.includes(picked.id) : allowed.length === 0).toBe(true);
          }
          expect(select(all, NO_FILTERS)).toEqual(select(all, { ...NO_FILTERS }));
          expect(reference(all, one)).toEqual(expect.arrayContaining([...allowed]));
        },
      ),
      { numRuns: 500 },
    );
  });
});

function snapshotOf(all: readonly Instance[], revision: number): ServiceSnapshot {
  return {
    namespace: "default",
    service: "web",
    epoch: 1,
    revision,
    etcdRevision: 1,
    publishedAt: "2026-11-21T04:30:00.125Z",
    instances: all,
  };
}
