import * as fc from "fast-check";
import semver from "semver";
import { expect, it } from "vitest";
import type { Instance } from "../../contract/snapshot.ts";
import { versionRange } from "./parameters.ts";
import { NO_FILTERS, select } from "../memory/selection.ts";

const number = fc.constantFrom("0", "0", "1", "1", "2", "2", "10", "01", "9007199254740993");
const suffix = fc.constantFrom("", "", "", "-rc.1", "-rc.01", "-alpha", "-0", "+build", "-rc.1+b5");
const wildcard = fc.constantFrom("x", "X", "*");
const full = fc.tuple(number, number, number, suffix).map(([a, b, c, end]) => `${a}.${b}.${c}${end}`);
const partial = fc.oneof(
  full,
  fc.tuple(number, fc.oneof(number, wildcard)).map((parts) => parts.join(".")),
  number,
  wildcard,
);
const operator = fc.constantFrom("", "^", "~", ">=", "<=", ">", "<", "=", "~>", "^ ", ">= ", "^v", "!=");
const comparator = fc.tuple(operator, partial).map((parts) => parts.join(""));
const ranges = fc.oneof(
  fc.tuple(partial, partial).map((ends) => ends.join(" - ")),
  fc
    .tuple(fc.array(comparator, { minLength: 1, maxLength: 3 }), fc.constantFrom(" ", " || ", ","))
    .map(([all, by]) => all.join(by)),
  fc.string({ maxLength: 12 }).filter((text) => text.trim() !== ""),
);
const versions = fc.oneof(full, partial);

it("version= takes the ranges that npm takes, and they match the versions that they match for npm", () => {
  const seen = { invalid: 0, matched: 0, unmatched: 0 };
  fc.assert(
    fc.property(ranges, versions, (range, version) => {
      const read = versionRange.read(range);
      const valid = semver.validRange(range) !== null;
      expect(read !== undefined, `${range} is a range`).toBe(valid);
      if (read === undefined) return void seen.invalid++;
      const instance = { id: "a", version, status: "up", tags: [], metadata: {} } as unknown as Instance;
      const matched = select([instance], { ...NO_FILTERS, version: read }).length === 1;
      expect(matched, `${version} is in ${range}`).toBe(semver.satisfies(version, range));
      seen[matched ? "matched" : "unmatched"]++;
    }),
    { numRuns: 10_000 },
  );
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(100);
});
