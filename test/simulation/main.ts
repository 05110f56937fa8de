import { parseArgs } from "node:util";
import { changeWhileLoading } from "../chaos/broken/hooks.ts";
import { MUTATIONS } from "./mutations.ts";

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
    /** One of `MUTATIONS`, by name: runs until it is found. */
    broken: { type: "string" },
  },
});
const first = wholeNumber("seed", values.seed);
const count = wholeNumber("seeds", values.seeds);
const places = values.only?.split(",").map((place) => wholeNumber("only", place));

// The stacks of errors that a world is made of are never looked at.
Error.stackTraceLimit = 0;
if (values.broken !== undefined) {
  const mutation = MUTATIONS.find(({ name }) => name === values.broken);
  if (!mutation) throw new Error(`There is no mutation ${values.broken}`);
  changeWhileLoading(mutation.changes);
}
// Only now, so that what is loaded is what was asked for.
const { runSeeds } = await import("./seeds.ts");
const untilBroken = values.broken !== undefined;
const broken = await runSeeds({ first, count, ...(places ? { places } : {}), traced: values.trace, untilBroken });
// A mutation that nothing finds is what is wrong with the simulation.
if (broken > 0 !== untilBroken) process.exitCode = 1;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text === "") throw new Error(`--${name} must be a whole number`);
  return value;
}
