import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Ring, RingEntry } from "../../contract/head.ts";
import { addToRing, emptyRing, type RingChange } from "./ring.ts";

const service = fc.integer({ min: 0, max: 30 }).map((n) => `service-${n}${"x".repeat(n)}`);
const change = fc.record({ service, change: fc.constantFrom<RingEntry[2]>("added", "removed") });
const commits = fc.array(fc.uniqueArray(change, { selector: (one: RingChange) => one.service, maxLength: 12 }), {
  maxLength: 40,
});

/** All latest changes, by service, as a reader that missed nothing knows them. */
function model(history: readonly (readonly RingChange[])[]): Map<string, RingEntry> {
  const latest = new Map<string, RingEntry>();
  history.forEach((changes, index) => {
    for (const one of changes) latest.set(one.service, [index + 2, one.service, one.change]);
  });
  return latest;
}

function build(history: readonly (readonly RingChange[])[], bytesMax: number): Ring {
  let ring = emptyRing(1);
  history.forEach((changes, index) => (ring = addToRing(ring, changes, index + 2, bytesMax)));
  return ring;
}

describe("the ring", () => {
  it("tells of every change after its floor, and of each service only the latest", () => {
    fc.assert(
      fc.property(commits, fc.integer({ min: 60, max: 1500 }), (history, bytesMax) => {
        const { floor, entries } = build(history, bytesMax);
        const latest = model(history);
        for (const entry of entries) expect(entry).toEqual(latest.get(entry[1]));
        const missing = [...latest.values()].filter(
          (entry) => entry[0] > floor && !entries.some(([, name]) => name === entry[1]),
        );
        expect(missing).toEqual([]);
        expect(entries.map(([revision]) => revision)).toEqual(
          entries.map(([revision]) => revision).toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it("is never longer than its bound as JSON", () => {
    fc.assert(
      fc.property(commits, fc.integer({ min: 60, max: 1500 }), (history, bytesMax) => {
        expect(JSON.stringify(build(history, bytesMax)).length).toBeLessThanOrEqual(bytesMax);
      }),
    );
  });

  it("keeps its floor while everything fits", () => {
    fc.assert(
      fc.property(commits, (history) => {
        const ring = build(history, 1_000_000);
        expect(ring.floor).toBe(1);
        expect(ring.entries).toHaveLength(model(history).size);
      }),
    );
  });

  it("drops a whole commit that does not fit, and says so by its floor", () => {
    const changes = [{ service: "a".repeat(100), change: "added" as const }];
    expect(addToRing(emptyRing(1), changes, 7, 60)).toEqual({ floor: 7, entries: [] });
  });
});
