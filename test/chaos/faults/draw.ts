import type { Random } from "../../../kernel/random.ts";

/** A whole number from `least` to `most`. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

/** Throws where there is nothing to choose from: a fault that would do nothing is a defect of the suite. */
export function choose<T>(random: Random, from: readonly T[]): T {
  const chosen = from[Math.floor(random() * from.length)];
  if (chosen === undefined) throw new Error("there is nothing to choose from");
  return chosen;
}

/** In an order in which a weight of 2 comes first twice as often as one of 1. */
export function shuffled<T>(random: Random, values: readonly T[], weightOf: (value: T) => number): T[] {
  return values
    .map((value) => ({ value, key: Math.log(1 - random()) / weightOf(value) }))
    .toSorted((a, b) => b.key - a.key)
    .map(({ value }) => value);
}
