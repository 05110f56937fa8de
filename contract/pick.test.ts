import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { instance } from "../test/support/instance.ts";
import { createKeyPicker, createRandomPicker, pick } from "./pick.ts";
import type { Instance } from "./snapshot.ts";

describe("a pick", () => {
  const DRAWS = 100_000;

  /** A repeatable stand-in for chance that covers [0, 1) evenly. */
  function even() {
    let step = 0;
    return () => (step += 0.618_033_988_749_895) % 1;
  }

  it("falls on instances in proportion to their weights, and never on weight 0", () => {
    const instances = [instance("a", { weight: 1 }), instance("b", { weight: 3 }), instance("c", { weight: 0 })];
    const random = even();
    const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (let draw = 0; draw < DRAWS; draw++) {
      const id = pick(instances, undefined, random)?.id ?? "";
      counts[id] = (counts[id] ?? 0) + 1;
    }
    expect((counts["a"] ?? 0) / DRAWS).toBeCloseTo(0.25, 2);
    expect((counts["b"] ?? 0) / DRAWS).toBeCloseTo(0.75, 2);
    expect(counts["c"]).toBe(0);
  });

  it("falls on any of them evenly when all weights are 0, and tells the weight as it is", () => {
    const instances = ["a", "b"].map((id) => instance(id, { weight: 0 }));
    const random = even();
    const picked = Array.from({ length: 1000 }, () => pick(instances, undefined, random));
    expect(picked.filter((one) => one?.id === "a").length).toBeGreaterThan(450);
    expect(picked.filter((one) => one?.id === "b").length).toBeGreaterThan(450);
    expect(picked[0]?.weight).toBe(0);
    expect(pick(instances, "key", random)?.weight).toBe(0);
  });

  it("falls on each for just the part of chance that its weight is of all", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 20 }), (weights) => {
        const instances = weights.map((weight, index) => instance(`i${index}`, { weight }));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        let sum = 0;
        for (const one of instances) {
          // At its beginning, and in the middle of its last unit.
          for (const unit of [sum, sum + one.weight - 0.5]) {
            // The quotient may be rounded down, to just below.
            const chance = () => ((unit / total) * total < unit ? (unit + 1e-6) / total : unit / total);
            expect(pick(instances, undefined, chance)).toBe(one);
            expect(instances[createRandomPicker(instances)(chance)]).toBe(one);
          }
          sum += one.weight;
        }
      }),
    );
  });

  it("falls on the last one for the greatest number below 1: no product with weights is rounded up to their sum", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(65_535), { minLength: 1, maxLength: 20 }), (weights) => {
        const candidates = weights.map((weight, index) => instance(`i${index}`, { weight }));
        const last = candidates.findLast(({ weight }) => weight > 0) ?? candidates.at(-1);
        const chance = () => 1 - 2 ** -53;
        expect(pick(candidates, undefined, chance)).toBe(last);
        expect(candidates[createRandomPicker(candidates)(chance)]).toBe(last);
      }),
    );
  });

  it("is one of the candidates for any weights, key and chance", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ id: fc.nat(), weight: fc.nat(65_535) }), {
          selector: ({ id }) => id,
          maxLength: 20,
        }),
        fc.option(fc.string(), { nil: undefined }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (drawn, key, chance) => {
          const candidates = drawn.map(({ id, weight }) => instance(`i${id}`, { weight }));
          const picked = pick(candidates, key, () => chance);
          const anyWeight = candidates.some(({ weight }) => weight > 0);
          const pool = candidates.filter(({ weight }) => weight > 0 || !anyWeight);
          expect(pool.length === 0 ? [undefined] : pool).toContain(picked);
          // Prepared or not, the rules are the same.
          const index =
            key === undefined ? createRandomPicker(candidates)(() => chance) : createKeyPicker(candidates)(key);
          expect(candidates[index]).toBe(picked);
        },
      ),
    );
  });
});

describe("a pick by key", () => {
  const KEYS = Array.from({ length: 20_000 }, (_, index) => `user-${index}`);
  const byKey = (instances: readonly Instance[], key: string) => pick(instances, key, () => 0);
  const owners = (instances: readonly Instance[], keys: readonly string[] = KEYS) => {
    const pickIndex = createKeyPicker(instances);
    return keys.map((key) => instances[pickIndex(key)]?.id);
  };

  it("moves no key but those of the instance that goes, whatever the weights", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ id: fc.nat(1000), weight: fc.integer({ min: 1, max: 1000 }) }), {
          selector: ({ id }) => id,
          minLength: 2,
          maxLength: 12,
        }),
        fc.array(fc.string(), { minLength: 1, maxLength: 50 }),
        (drawn, keys) => {
          const instances = drawn.map(({ id, weight }) => instance(`i${id}`, { weight }));
          const [gone, ...left] = instances;
          for (const key of keys) {
            const before = byKey(instances, key);
            expect([before === gone ? byKey(left, key) : before]).toContain(byKey(left, key));
          }
        },
      ),
    );
  });

  it("moves to an instance that comes, or grows, its own share of the keys, and nothing between the others", () => {
    const before = ["a", "b", "c"].map((id, index) => instance(id, { weight: 100 * (index + 1) }));
    const owned = owners(before);
    for (const [after, share] of [
      [[...before, instance("d", { weight: 200 })], 200 / 800],
      [before.map((one) => (one.id === "b" ? { ...one, weight: 600 } : one)), 400 / 1000],
    ] as const) {
      const gaining = after.length > before.length ? "d" : "b";
      const moved = owners(after).filter((owner, index) => owner !== owned[index]);
      expect(new Set(moved)).toEqual(new Set([gaining]));
      // Of all keys, less those of its own before; within five standard deviations.
      expect(Math.abs(moved.length - expectedMoves(share, gaining))).toBeLessThan(5 * Math.sqrt(KEYS.length / 4));
    }
    function expectedMoves(share: number, gaining: string): number {
      return gaining === "d" ? share * KEYS.length : (600 / 1000 - 200 / 600) * KEYS.length;
    }
  });

  it("is as steady where filters take an instance away as where it is gone", () => {
    const instances = ["a", "b", "c", "d"].map((id) => instance(id, { tags: id === "c" ? [] : ["blue"] }));
    const owned = owners(instances);
    const left = owners(instances.filter(({ tags }) => tags.includes("blue")));
    expect(left.filter((owner, index) => owned[index] !== "c" && owner !== owned[index])).toEqual([]);
  });

  it.each([
    ["names that count up", (index: number) => `web-${index}`, (index: number) => `user-${index}`],
    ["names that differ in the first character", (index: number) => `${index}-web`, (index: number) => `${index}-user`],
    ["numbers", (index: number) => String(index), (index: number) => String(index)],
    ["long keys", (index: number) => `web-${index}`, (index: number) => `${"x".repeat(40)}${index}`],
    ["keys that are like the names", (index: number) => `web-${index}`, (index: number) => `web-${index}`],
  ])("spreads keys in proportion to the weights, as evenly as chance would: %s", (_what, idOf, keyOf) => {
    for (const weights of [Array.from({ length: 20 }, () => 100), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [1, 1, 1000]]) {
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const instances = weights.map((weight, index) => instance(idOf(index), { weight }));
      const counts = new Map<string, number>(instances.map(({ id }) => [id, 0]));
      for (const id of owners(
        instances,
        KEYS.map((_, index) => keyOf(index)),
      )) {
        counts.set(id ?? "", (counts.get(id ?? "") ?? 0) + 1);
      }
      let chiSquare = 0;
      for (const { id, weight } of instances) {
        const expected = (KEYS.length * weight) / total;
        chiSquare += ((counts.get(id) ?? 0) - expected) ** 2 / expected;
      }
      // Above this by chance once in a million (Wilson and Hilferty's approximation); the keys are always the same ones.
      const freedom = weights.length - 1;
      expect(chiSquare).toBeLessThan(freedom * (1 - 2 / (9 * freedom) + 4.75 * Math.sqrt(2 / (9 * freedom))) ** 3);
    }
  });

  it("gives a key the same instance in every version: edge and clients are not upgraded together", () => {
    const instances = ["a", "b", "c", "d"].map((id, index) => instance(id, { weight: 100 * (index + 1) }));
    const picked = ["", "user-1", "user-2", "ü", "user-3"].map((key) => byKey(instances, key)?.id);
    expect(picked).toEqual(["d", "a", "b", "d", "d"]);
  });

  it("gives a key the same instance whatever their order", () => {
    const instances = ["a", "b", "c", "d"].map((id) => instance(id));
    expect(owners(instances.toReversed())).toEqual(owners(instances));
    // These two have the same hash of 32 bits for this key.
    const alike = ["web-1479599", "web-1662382"].map((id) => instance(id));
    expect(byKey(alike.toReversed(), "user")).toBe(byKey(alike, "user"));
  });
});
