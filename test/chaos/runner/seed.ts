import type { Random } from "../../../kernel/random.ts";

/** As people can read it aloud: a seed that is drawn has six digits at most. */
const DRAWN_MAX = 1_000_000;

export function drawSeed(random: Random): number {
  return Math.floor(random() * DRAWN_MAX);
}
