import { expect, it } from "vitest";
import type { Lookups } from "../lookup/lookups.ts";
import { createSight } from "./sight.ts";

let dueMs = 0;
const lookups: Lookups = {
  lookup: () => ({ type: "nothing" }),
  glance: () => undefined,
  dueMs: () => dueMs,
  lookupAll: async () => [],
  list: async () => ({ type: "nothing" }),
  ready: async () => false,
  revalidated: () => lookups,
};

/** The waits of a watcher to which the next reading is due after each of these times. */
function waits(dues: readonly number[], { freshMs = 1000, random = 0.5 } = {}): readonly number[] {
  const background = () => undefined;
  const sight = createSight({ lookups, service: "web", background, freshMs, random: () => random });
  return dues.map((due) => {
    dueMs = due;
    return Math.round(sight.nextMs());
  });
}

it("a watcher looks again when the next reading is due, and the looks of many are spread over what follows", () => {
  expect([0, 0.5, 0.999].map((random) => waits([800], { random })[0])).toEqual([800, 925, 1050]);
});

it("a watcher looks again soon where a reading was due, ever later while it stays so, and soon the next time", () => {
  expect(waits([0, -100, -200, -500, -900, -9000], { random: 0 })).toEqual([50, 100, 200, 400, 800, 1000]);
  expect(waits([0, -100, 700, 0], { random: 0 })).toEqual([50, 100, 700, 50]);
});

it("a watcher neither spins nor falls asleep, whatever the fresh interval", () => {
  expect(waits([1, 0, 0], { freshMs: 10, random: 0 })).toEqual([50, 50, 50]);
  expect(waits([60_000], { freshMs: 60_000 })).toEqual([5000]);
});
