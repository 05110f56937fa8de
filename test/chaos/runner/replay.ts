import type { RunArguments } from "./arguments.ts";

/** The command that does a run again. The seed draws the faults and the traffic; what the machine does meanwhile is its own. */
export function replayCommand(
  seed: number,
  { minutes, faults, short }: Pick<RunArguments, "minutes" | "faults" | "short">,
  broken?: string,
): string {
  if (broken !== undefined) return `npm run chaos -- --broken ${broken} --seed ${seed}`;
  // A short run has its own length unless it has a schedule, and then that has.
  const length = short ? " --short" : minutes === undefined ? "" : ` --minutes ${minutes}`;
  return `npm run chaos -- --seed ${seed}${length}${faults === undefined ? "" : ` --faults ${faults}`}`;
}
