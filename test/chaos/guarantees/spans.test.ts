import * as fc from "fast-check";
import { expect, test } from "vitest";
import { calmFrom, covering, mergeSpans, overlapMs, touching } from "./spans.ts";

const spans = fc
  .array(fc.tuple(fc.nat(60), fc.nat(8)), { maxLength: 12 })
  .map((pairs) => pairs.map(([from, ms]) => ({ from, to: from + ms })));

test("spans that are merged have the moments that they had, and stand apart", () => {
  fc.assert(
    fc.property(spans, fc.nat(70), (given, at) => {
      const merged = mergeSpans(given);
      const has = given.some(({ from, to }) => from <= at && at <= to);
      expect(touching(merged, at, at) !== undefined).toBe(has);
      expect(merged.every(({ from }, index) => index === 0 || from > (merged[index - 1]?.to ?? Infinity))).toBe(true);
    }),
  );
});

test("an overlap is the time that both have", () => {
  fc.assert(
    fc.property(spans, fc.nat(60), fc.nat(20), (given, from, ms) => {
      const merged = mergeSpans(given);
      let sum = 0;
      for (let at = from; at < from + ms; at++) if (covering(merged, at, at + 1)) sum++;
      expect(overlapMs(merged, from, from + ms)).toBe(sum);
    }),
  );
});

test("a calm stretch ends as early as one can that has nothing of the spans in it", () => {
  fc.assert(
    fc.property(spans, fc.nat(60), fc.integer({ min: 1, max: 10 }), (given, from, stretchMs) => {
      const merged = mergeSpans(given);
      const isCalm = (end: number) => !merged.some((span) => span.from < end && span.to > end - stretchMs);
      const ends = Array.from({ length: 100 }, (_, index) => from + stretchMs + index);
      expect(calmFrom(merged, from, stretchMs)).toBe(ends.find(isCalm));
    }),
  );
});

test("nothing is calm while a fault never ends", () => {
  expect(calmFrom([{ from: 0, to: Infinity }], 5, 10)).toBe(Infinity);
});
