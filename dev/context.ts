import type { Clock } from "../kernel/clock.ts";
import type { Child } from "./child.ts";
import type { External } from "./external.ts";
import type { Ports } from "./ports.ts";
import { keepRunning, type Part } from "./supervisor.ts";

/** What every part of a run is started with. */
export interface Context {
  /** Holds what this run keeps; it goes with the run. */
  readonly runDir: string;
  /** Holds what later runs use again. */
  readonly cacheDir: string;
  readonly external: External;
  readonly ports: Ports;
  readonly clock: Clock;
  /** Told each step, one line each. */
  readonly say: (line: string) => void;
  /** Given every part as soon as it runs, so that those of a line that fails half way are ended too. */
  readonly own: (part: Part) => void;
  readonly signal: AbortSignal;
}

/** The port a part is known for, or another one, which is then said. */
export function claimPort({ ports, say }: Context, name: string, wanted: number): Promise<number> {
  return ports.claim(wanted, (taken, chosen) => say(`port ${taken} is taken: ${name} uses ${chosen} instead`));
}

/** Says why a part takes long to start; `about` is a sentence on what it asks for meanwhile. */
export function sayWhySlow({ say }: Context, name: string, about = ""): (reason: string) => void {
  return (reason) => say(`${name} is not ready yet: ${reason}${about === "" ? "" : ` ${about}`}`);
}

export async function startPart(
  { clock, say, own, signal }: Context,
  name: string,
  start: (signal: AbortSignal) => Promise<Child>,
): Promise<Part> {
  const part = await keepRunning({ name, start, clock, say, signal });
  own(part);
  return part;
}
