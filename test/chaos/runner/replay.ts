import type { RunArguments } from "./arguments.ts";

/** The command that does a run again. The seed draws the faults and the traffic; what the machine does meanwhile is its own. */
export function replayCommand(
  seed: number,
  run: Pick<RunArguments, "minutes" | "faults" | "short">,
  broken?: string,
): string {
  if (broken !== undefined) return `npm run chaos -- --broken ${broken} --seed ${seed}`;
  const length = run.short ? "--short" : `--minutes ${run.minutes}`;
  return `npm run chaos -- --seed ${seed} ${length}${run.faults === undefined ? "" : ` --faults ${run.faults}`}`;
}
