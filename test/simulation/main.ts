import { parseArgs } from "node:util";
import { planOf, type Plan } from "./plan.ts";
import { only, shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";
import type { Violation } from "./violation.ts";

/** Lines of the trace that lead to what is broken; `--trace` prints all of them. */
const TRACE_LINES = 30;

const { values } = parseArgs({
  options: {
    /** The first seed. */
    seed: { type: "string", default: "1" },
    /** How many, one after the other. */
    seeds: { type: "string", default: "1" },
    /** Places of the steps that are kept, separated by commas; all if left out. */
    only: { type: "string" },
    /** Everything that happens. */
    trace: { type: "boolean", default: false },
  },
});
const first = wholeNumber("seed", values.seed);
const count = wholeNumber("seeds", values.seeds);
const places = values.only?.split(",").map((place) => wholeNumber("only", place));

// The stacks of errors that a world is made of are never looked at.
Error.stackTraceLimit = 0;
const beganMs = performance.now();
let broken = 0;
for (let seed = first; seed < first + count; seed++) {
  const plan = places ? only(planOf(seed), places) : planOf(seed);
  const { violations, trace } = await simulate(plan, values.trace);
  if (values.trace) console.log(trace.join("\n"));
  const [violation] = violations;
  if (!violation) continue;
  broken++;
  await tell(plan, violation);
}
const seconds = (performance.now() - beganMs) / 1000;
console.log(`${count} seeds from ${first}: ${broken} broken, in ${seconds.toFixed(1)} s`);
if (broken > 0) process.exitCode = 1;

async function tell(plan: Plan, { guarantee, atMs, text }: Violation): Promise<void> {
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

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text === "") throw new Error(`--${name} must be a whole number`);
  return value;
}
