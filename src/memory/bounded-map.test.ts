import * as fc from "fast-check";
import { expect, it } from "vitest";
import { createBoundedMap, createBoundedMaps } from "./bounded-map.ts";

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

it("maps keep within their bounds together: each may use all of it, and the least recently used goes from whichever has it", () => {
  const operation = fc.record({ map: fc.nat(2), key: fc.nat(4), type: fc.constantFrom("set", "get", "delete") });
  fc.assert(
    fc.property(fc.array(operation), (operations) => {
      const maps = createBoundedMaps<number, number>({ entriesMax: 4, weightMax: 10, weightOf: (weight) => weight });
      const views = [maps.create(), maps.create(), maps.create()];
      // What is held, as "map/key" and weight, the least recently used first.
      let expected: [string, number][] = [];
      for (const [index, { map, key, type }] of operations.entries()) {
        const name = `${map}/${key}`;
        const weight = index % 4;
        const held = expected.find(([each]) => each === name);
        if (type !== "get" || held) expected = expected.filter(([each]) => each !== name);
        if (type === "set") expected.push([name, weight]);
        if (type === "get" && held) expected.push(held);
        while (expected.length > 4 || expected.reduce((sum, [, each]) => sum + each, 0) > 10) expected.shift();
        const view = views[map];
        const got = type === "get" ? view?.get(key) : held?.[1];
        if (type === "set") view?.set(key, weight);
        if (type === "delete") view?.delete(key);
        expect(got).toBe(held?.[1]);
        const left = views.map((each) => [...each.values()]);
        expect(left).toEqual(
          views.map((_, of) => expected.flatMap(([each, value]) => (each.startsWith(`${of}/`) ? value : []))),
        );
        for (const [each, value] of expected) expect(views[Number(each[0])]?.peek(Number(each[2]))).toBe(value);
      }
    }),
  );
});
