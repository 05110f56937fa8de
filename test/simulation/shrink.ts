import type { Plan } from "./plan.ts";
import { simulate } from "./simulate.ts";
import type { Guarantee } from "./violation.ts";

/** Worlds that a search for a smaller plan runs at most: some ten seconds. */
const RUNS_MAX = 150;

/** The same plan with some of its steps, by their places in it. */
export function only(plan: Plan, places: readonly number[]): Plan {
  return { ...plan, steps: plan.steps.filter((_step, place) => places.includes(place)) };
}

/**
 * The places of as few steps of a plan as still break this guarantee: without half of them, or a quarter, and so on down
 * to each alone, as long as that takes any away (delta debugging: Zeller and Hildebrandt, 2002).
 */
export async function shrink(plan: Plan, guarantee: Guarantee): Promise<readonly number[]> {
  let places = plan.steps.map((_step, place) => place);
  let runs = 0;
  const isOver = () => runs >= RUNS_MAX;
  const breaks = async (kept: readonly number[]) => {
    runs++;
    const { violations } = await simulate(only(plan, kept));
    return violations.some((violation) => violation.guarantee === guarantee);
  };
  for (let size = Math.ceil(places.length / 2); size >= 1 && !isOver();) {
    let isSmaller = false;
    for (let from = 0; from < places.length && !isOver();) {
      const kept = places.toSpliced(from, size);
      if (await breaks(kept)) {
        places = kept;
        isSmaller = true;
      } else from += size;
    }
    if (size === 1 && !isSmaller) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return places;
}
