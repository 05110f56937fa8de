import { changeWhileLoading } from "../chaos/broken/hooks.ts";
import { parseArguments } from "./arguments.ts";
import { MUTATIONS } from "./mutations.ts";
import { shareSeeds } from "./workers.ts";

const given = parseArguments(
  process.argv,
  MUTATIONS.map(({ name }) => name),
);
if (given.type === "told") {
  process.exitCode = given.exitCode;
} else if (given.workers > 1) {
  if (!(await shareSeeds(given))) process.exitCode = 1;
} else {
  // The stacks of errors that a world is made of are never looked at.
  Error.stackTraceLimit = 0;
  const mutation = MUTATIONS.find(({ name }) => name === given.broken);
  if (mutation) changeWhileLoading(mutation.changes);
  // Only now, so that what is loaded is what was asked for.
  const { runSeeds } = await import("./seeds.ts");
  const untilBroken = mutation !== undefined;
  const broken = await runSeeds({ ...given, untilBroken });
  // A mutation that nothing finds is what is wrong with the simulation.
  if (broken > 0 !== untilBroken) process.exitCode = 1;
}
