import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { FAULTS_MINUTES_MAX } from "../faults/parse-schedule.ts";
import { FAULTS_MINUTES_SHORT } from "./phases.ts";

const MINUTES_MIN = 0.02;
const SEED_MAX = 2 ** 32 - 1;
/** Runs of one command. */
const SEEDS_MAX = 10_000;
/** Of the broken builds, whose schedules are fixed: one that was caught is caught again. */
const BROKEN_SEED = 1;

/** What a run is asked for on the command line, whichever seed it has. */
export interface RunArguments {
  /** Left out: as long as the schedule of faults, or two. */
  readonly minutes?: number;
  /** As it was given: a schedule such as `redis-kill@3s+2s,gateway-pause@6s+1s`, names to draw from, or `none`. */
  readonly faults?: string;
  readonly short: boolean;
  readonly keepLogs: boolean;
  /** A folder for the runs, instead of the one in the cache. */
  readonly out?: string;
}

export type Arguments =
  | { readonly type: "list-faults" }
  | { readonly type: "check"; readonly file: string }
  | { readonly type: "broken"; readonly name: string; readonly seed: number; readonly run: RunArguments }
  | { readonly type: "seeds"; readonly seeds: readonly number[] | "drawn"; readonly run: RunArguments }
  /** Nothing to run: help was shown, or what is wrong was said. */
  | { readonly type: "told"; readonly exitCode: number };

export const EXIT_BROKEN = 1;
export const EXIT_USAGE = 2;
export const EXIT_RUN_FAILED = 3;
export const EXIT_INTERRUPTED = 130;

interface Given {
  readonly seed?: number;
  readonly seeds?: readonly number[];
  readonly minutes?: number;
  readonly faults?: string;
  readonly listFaults?: true;
  readonly out?: string;
  readonly check?: string;
  readonly broken?: string;
  readonly short?: true;
  readonly keepLogs?: true;
}

const OF_A_RUN = ["minutes", "faults", "out", "short", "keepLogs"];

/** Names are checked by who knows them; `faultsOf` throws what is wrong with a text of faults. */
export function parseArguments(
  argv: readonly string[],
  faultsOf: (text: string) => unknown,
  brokenNames: readonly string[],
): Arguments {
  const command = new Command("npm run chaos --")
    .description(
      "Runs a whole fleet on this machine under faults drawn from a seed, records everything, and checks what is promised.",
    )
    .addOption(new Option("--seed <n>", "of the run (default: drawn, and printed first)").argParser(seedOf))
    .addOption(
      new Option("--seeds <a..b>", "several runs, one after another, and a summary")
        .argParser(rangeOf)
        .conflicts("seed"),
    )
    .addOption(
      new Option(
        "--minutes <m>",
        "of faults, fractions too (default: 2, or as long as the schedule); the rest of a run is about a minute",
      ).argParser(minutesOf),
    )
    .addOption(
      new Option(
        "--faults <list>",
        "names to draw from, a schedule such as redis-kill@3s+2s,gateway-pause@6s+1s, or none",
      ).argParser((text) => checkedFaults(text, faultsOf)),
    )
    .addOption(
      new Option(
        "--short",
        `a small run of half a minute, ${(FAULTS_MINUTES_SHORT * 60).toFixed(1)} s of it with faults`,
      ).conflicts("minutes"),
    )
    .addOption(
      new Option("--broken <name>", `a deliberately broken build, which must be caught: all, ${brokenNames.join(", ")}`)
        .argParser((name) => oneOf(name, ["all", ...brokenNames]))
        .conflicts(["seeds", "faults", "minutes", "short"]),
    )
    .option("--out <folder>", "where the folders of runs are kept (default: .cache/chaos, the last few)")
    .option("--keep-logs", "keep the logs of all processes beside the history")
    .addOption(
      new Option("--check <file>", "check a recorded history again").conflicts([
        ...OF_A_RUN,
        "seed",
        "seeds",
        "broken",
      ]),
    )
    .addOption(
      new Option("--list-faults", "what can go wrong").conflicts([...OF_A_RUN, "seed", "seeds", "broken", "check"]),
    )
    .allowExcessArguments(false)
    .exitOverride();
  let given: Given;
  try {
    given = command.parse(argv).opts<Given>();
  } catch (error) {
    if (error instanceof CommanderError) return { type: "told", exitCode: error.exitCode === 0 ? 0 : EXIT_USAGE };
    throw error;
  }
  if (given.listFaults) return { type: "list-faults" };
  if (given.check !== undefined) return { type: "check", file: given.check };
  const { minutes, faults, out, short = false, keepLogs = false } = given;
  const run: RunArguments = {
    short,
    keepLogs,
    ...(minutes === undefined ? {} : { minutes }),
    ...(faults === undefined ? {} : { faults }),
    ...(out === undefined ? {} : { out }),
  };
  if (given.broken !== undefined) return { type: "broken", name: given.broken, seed: given.seed ?? BROKEN_SEED, run };
  return { type: "seeds", seeds: given.seeds ?? (given.seed === undefined ? "drawn" : [given.seed]), run };
}

function seedOf(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > SEED_MAX) {
    throw new InvalidArgumentError(`It must be a whole number from 0 to ${SEED_MAX}.`);
  }
  return Number(text);
}

function rangeOf(text: string): readonly number[] {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  if (from === undefined || to === undefined) throw new InvalidArgumentError("It must be two seeds such as 1..20.");
  const [first, last] = [seedOf(from), seedOf(to)];
  if (last < first) throw new InvalidArgumentError("The second seed must not be below the first.");
  if (last - first >= SEEDS_MAX) throw new InvalidArgumentError(`It must be ${SEEDS_MAX} seeds at most.`);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function minutesOf(text: string): number {
  const minutes = Number(text);
  if (text.trim() === "" || !(minutes >= MINUTES_MIN && minutes <= FAULTS_MINUTES_MAX)) {
    throw new InvalidArgumentError(`It must be a number from ${MINUTES_MIN} to ${FAULTS_MINUTES_MAX}.`);
  }
  return minutes;
}

function checkedFaults(text: string, faultsOf: (text: string) => unknown): string {
  try {
    faultsOf(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
  return text;
}

function oneOf(name: string, names: readonly string[]): string {
  if (!names.includes(name)) throw new InvalidArgumentError(`It must be one of ${names.join(", ")}.`);
  return name;
}
