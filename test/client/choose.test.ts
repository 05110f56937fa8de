import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { choose } from "../../client/choose.ts";
import { isName } from "../../client/request.ts";
import { isName as isContractName } from "../../contract/names.ts";
import type { Instance } from "../../contract/snapshot.ts";
import { pick as pickOfResolver } from "../../src/selection.ts";
import { instance } from "./resolver.ts";

const instances = fc
  .uniqueArray(
    fc.record({ id: fc.string({ minLength: 1, maxLength: 8 }), weight: fc.constantFrom(0, 1, 100, 65_535) }),
    {
      selector: ({ id }) => id,
      maxLength: 12,
    },
  )
  .map((list) => list.map(({ id, weight }) => instance(id, { weight })));

describe("the client chooses as the resolver does", () => {
  test("by key: the same instance for every key", () => {
    fc.assert(
      fc.property(instances, fc.string(), (list, key) => {
        expect(choose(list, key, () => 0)?.id).toBe(pickOfResolver(list, key, () => 0)?.id);
      }),
      { numRuns: 500 },
    );
  });

  test("at random: the same instance for the same draw", () => {
    fc.assert(
      fc.property(instances, fc.double({ min: 0, max: 0.999_999, noNaN: true }), (list, draw) => {
        expect(choose(list, undefined, () => draw)?.id).toBe(pickOfResolver(list, undefined, () => draw)?.id);
      }),
      { numRuns: 500 },
    );
  });

  test("names are those of the contract", () => {
    const character = fc.constantFrom("a", "Z", "0", ".", "_", "-", "/", " ", "%", "é", "\n");
    fc.assert(
      fc.property(fc.array(character, { maxLength: 130 }), (characters) => {
        expect(isName(characters.join(""))).toBe(isContractName(characters.join("")));
      }),
    );
  });
});

describe("a choice at random", () => {
  test("is in proportion to the weights, and never of weight 0 while others are there", () => {
    const list = [instance("a", { weight: 100 }), instance("b", { weight: 300 }), instance("c", { weight: 0 })];
    const counts = countsOf(list, 400);
    expect(counts).toEqual({ a: 100, b: 300 });
  });

  test("is even when all weights are 0", () => {
    expect(countsOf([instance("a", { weight: 0 }), instance("b", { weight: 0 })], 10)).toEqual({ a: 5, b: 5 });
  });
});

/** How often each is chosen when the draws are spread evenly over [0, 1). */
function countsOf(list: readonly Instance[], draws: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let index = 0; index < draws; index++) {
    const id = choose(list, undefined, () => index / draws)?.id ?? "none";
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}
