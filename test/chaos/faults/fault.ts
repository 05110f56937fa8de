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
  readonly touches: readonly Touched[];
  /** Does it, and gives what to tell of it and how to undo it. Every choice is drawn from `random`. */
  begin(fleet: Fleet, random: Random): Promise<FaultUnderWay>;
}

/** What a fault may lay its hands on; lines are those that lead there, `peers` those between etcd's members. */
export type Touched =
  | "etcd"
  | "redis"
  | "gateway"
  | "publishers"
  | "agents"
  | "resolvers"
  | "clocks"
  | "fronts"
  | "lines to etcd"
  | "peers"
  | "lines to redis"
  | "replication"
  | "lines to gateway";

export type FaultDetail = Readonly<Record<string, string | number>>;

export interface FaultUnderWay {
  readonly target: string;
  readonly detail?: FaultDetail;
  /**
   * Undoes it: the fleet is whole again as far as this fault goes. May be called once, whatever became of the target.
   * Resolves to what else there is to tell now, which takes the place of what the detail had of the same name.
   */
  end(): Promise<FaultDetail | void>;
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
