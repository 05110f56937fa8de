import type { Ports } from "../../../dev/ports.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { startProxy } from "../../support/proxy.ts";
import type { FleetOptions, FleetProcess, Line } from "./fleet.ts";
import { createFleetProcess, type ProcessOptions } from "./process.ts";

/** What every part of a fleet is made with; whatever is made with it is in its lists, and ends with the fleet. */
export interface Context {
  readonly options: FleetOptions;
  readonly dir: string;
  readonly clock: Clock;
  readonly ports: Ports;
  readonly processes: FleetProcess[];
  readonly lines: Line[];
  readonly say: (line: string) => void;
}

export async function makeLine({ lines }: Context, name: string, targetPort: number): Promise<Line> {
  const line = { name, proxy: await startProxy(targetPort) };
  lines.push(line);
  return line;
}

type Given<Kind extends FleetProcess["kind"]> = Omit<ProcessOptions<Kind>, "onLife" | "clock" | "signal">;

/** Not started yet. */
export function makeProcess<Kind extends FleetProcess["kind"]>(context: Context, given: Given<Kind>) {
  const { options, clock, processes } = context;
  const onLife = options.onLife ?? (() => undefined);
  const made = createFleetProcess({ ...given, onLife, clock, signal: options.signal });
  processes.push(made);
  return made;
}
