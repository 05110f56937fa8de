import type { Random } from "../../kernel/random.ts";

/** The same numbers for the same seed, so that what a simulation finds can be replayed. */
export function seededRandom(seed: number): Random {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // The lower bits of such a sequence repeat soon.
    return Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d) / 2 ** 32 + 0.5;
  };
}
