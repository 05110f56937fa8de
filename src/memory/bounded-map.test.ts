import * as fc from "fast-check";
import { expect, it } from "vitest";
import { createBoundedMap } from "./bounded-map.ts";

it("what was used least recently goes first", () => {
  const map = createBoundedMap<string, number>({ entriesMax: 2 });
  map.set("a", 1);
  map.set("b", 2);
  map.get("a");
  map.peek("b");
  map.set("c", 3);
  expect(["a", "b", "c"].map((key) => map.has(key))).toEqual([true, false, true]);
});

it("neither bound is ever exceeded, and the latest value is there unless it alone is too heavy", () => {
  const operation = fc.record({ key: fc.nat(6), weight: fc.nat(12), remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(operation), (operations) => {
      const map = createBoundedMap<number, number>({ entriesMax: 4, weightMax: 10, weightOf: (weight) => weight });
      for (const { key, weight, remove } of operations) {
        if (remove) map.delete(key);
        else map.set(key, weight);
        const weights = [...map.values()];
        expect(weights.length).toBeLessThanOrEqual(4);
        expect(weights.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(10);
        expect(map.peek(key)).toBe(remove || weight > 10 ? undefined : weight);
      }
    }),
  );
});
