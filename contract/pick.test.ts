import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { instance } from "../test/support/instance.ts";
import { pick } from "./pick.ts";
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
        },
      ),
    );
  });
});

describe("a pick by key", () => {
  const KEYS = Array.from({ length: 20_000 }, (_, index) => `user-${index}`);
  const byKey = (instances: readonly Instance[], key: string) => pick(instances, key, () => 0);
  const owners = (instances: readonly Instance[]) => KEYS.map((key) => byKey(instances, key)?.id);

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

  it("spreads keys in proportion to the weights", () => {
    const weights: Record<string, number> = { a: 100, b: 100, c: 200 };
    const counts: Record<string, number> = {};
    for (const id of owners(Object.entries(weights).map(([name, weight]) => instance(name, { weight })))) {
      counts[id ?? ""] = (counts[id ?? ""] ?? 0) + 1;
    }
    for (const [name, weight] of Object.entries(weights)) {
      expect((counts[name] ?? 0) / KEYS.length).toBeCloseTo(weight / 400, 1.7);
    }
  });

  it("gives a key the same instance whatever their order", () => {
    const instances = ["a", "b", "c", "d"].map((id) => instance(id));
    expect(owners(instances.toReversed())).toEqual(owners(instances));
  });
});
