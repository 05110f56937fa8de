import { planOf, type Plan } from "./plan.ts";
import { only, shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";
import type { Violation } from "./violation.ts";

/** Lines of the trace that lead to what is broken; `--trace` prints all of them. */
const TRACE_LINES = 30;

export interface SeedsOptions {
  readonly first: number;
  readonly count: number;
  /** Places of the steps that are kept; all if left out. */
  readonly places?: readonly number[];
  /** Prints everything that happens. */
  readonly traced: boolean;
  /** Ends with the first seed that breaks something. */
  readonly untilBroken: boolean;
}

/** Runs one seed after the other, and prints what each breaks. Gives how many do. */
export async function runSeeds({ first, count, places, traced, untilBroken }: SeedsOptions): Promise<number> {
  const beganMs = performance.now();
  let broken = 0;
  let seed = first;
  const isOver = () => seed >= first + count || (untilBroken && broken > 0);
  for (; !isOver(); seed++) {
    const plan = places ? only(planOf(seed), places) : planOf(seed);
    const { violations, trace } = await simulate(plan, traced);
    if (traced) console.log(trace.join("\n"));
    const [violation] = violations;
    if (!violation) continue;
    broken++;
    if (untilBroken) console.log(`seed ${seed}: ${violation.guarantee}: ${violation.text}`);
    else await tell(plan, violation, places);
  }
  const seconds = (performance.now() - beganMs) / 1000;
  console.log(`${seed - first} seeds from ${first}: ${broken} broken, in ${seconds.toFixed(1)} s`);
  return broken;
}

async function tell(
  plan: Plan,
  { guarantee, atMs, text }: Violation,
  places: readonly number[] | undefined,
): Promise<void> {
  console.log(`\nseed ${plan.seed}, at ${(atMs / 1000).toFixed(3)} s, breaks "${guarantee}": ${text}`);
  const kept = places ? plan.steps.map((_step, place) => places[place] ?? place) : await shrink(plan, guarantee);
  const smallest = places ? plan : only(plan, kept);
  console.log(`\nIt takes these ${smallest.steps.length} of its steps, with ${JSON.stringify(plan.settings)}:`);
  for (const { atMs: stepMs, ...step } of smallest.steps) {
    console.log(`  ${(stepMs / 1000).toFixed(3).padStart(7)} s  ${JSON.stringify(step)}`);
  }
  const { trace } = await simulate(smallest, true);
  const end = trace.findIndex((line) => line.includes(`BROKEN: ${guarantee}`)) + 1;
  console.log(`\n${trace.slice(Math.max(0, end - TRACE_LINES), end).join("\n")}`);
  console.log(`\nnpm run simulate -- --seed ${plan.seed} --only ${kept.join(",")} --trace\n`);
}
