import type { Random } from "../../../kernel/random.ts";
import type { Fleet } from "../fleet/fleet.ts";

/** Something that goes wrong, by a name that schedules, reports and the command line share. */
export interface Fault {
  readonly name: string;
  /** One sentence, for --help and the report. */
  readonly about: string;
  /** How often it is drawn, against 1 for most. */
  readonly weight?: number;
  /** Two faults that share one of these never overlap: what one does would undo or hide the other. */
  readonly touches: readonly string[];
  /** Does it, and gives what to tell of it and how to undo it. Every choice is drawn from `random`. */
  begin(fleet: Fleet, random: Random): Promise<FaultUnderWay>;
}

export interface FaultUnderWay {
  readonly target: string;
  readonly detail?: Readonly<Record<string, string | number>>;
  /** Undoes it: the fleet is whole again as far as this fault goes. May be called once, whatever became of the target. */
  end(): Promise<void>;
}

/** One fault of a run: drawn from the seed before the run begins, so that the same seed is the same schedule. */
export interface Planned {
  readonly id: number;
  readonly name: string;
  /** Since the beginning of the phase of faults. */
  readonly atMs: number;
  readonly durationMs: number;
  /** Of the choices the fault itself makes. */
  readonly seed: number;
}
