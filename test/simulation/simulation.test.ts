import { expect, it } from "vitest";
import { planOf } from "./plan.ts";
import { simulate } from "./simulate.ts";
import type { Violation } from "./violation.ts";

/** Some five seconds of them; `npm run simulate -- --seed 1 --seeds 10000` goes on. */
const SEEDS = 40;
/** Each has broken something once: see README.md. */
const REGRESSIONS: readonly number[] = [
  17, 30, 101, 1133, 1359, 2575, 11227, 11417, 22798, 22986, 30536, 30982, 40389, 62132,
];
/** On a machine that is busy with everything else. */
const TIMEOUT_MS = 120_000;

async function brokenBy(seeds: readonly number[]): Promise<(Violation & { readonly seed: number })[]> {
  const broken: (Violation & { readonly seed: number })[] = [];
  for (const seed of seeds) {
    for (const violation of (await simulate(planOf(seed))).violations) broken.push({ seed, ...violation });
  }
  return broken;
}

it(
  "publisher, Redis and resolver keep every guarantee, whatever is lost, repeated, overtaken or late",
  async () => {
    expect(await brokenBy(Array.from({ length: SEEDS }, (_, index) => index + 1))).toEqual([]);
  },
  TIMEOUT_MS,
);

it(
  "no seed that has found a bug finds it again",
  async () => {
    expect(await brokenBy(REGRESSIONS)).toEqual([]);
  },
  TIMEOUT_MS,
);

it("the same seed is the same world, so that what it finds can be looked at again", async () => {
  const [first, second] = [await simulate(planOf(7), true), await simulate(planOf(7), true)];
  expect(first.trace.length).toBeGreaterThan(100);
  expect(second.trace).toEqual(first.trace);
});
