import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { between } from "../support/number-option.ts";

const SEED_MAX = 2 ** 32 - 1;
/** Of one command: some days. */
const SEEDS_MAX = 1_000_000;

/** Processes of one command: more than cores makes nothing faster. */
const WORKERS_MAX = 64;

const EXIT_USAGE = 2;

export type Arguments =
  | {
      readonly type: "simulate";
      readonly first: number;
      readonly count: number;
      readonly workers: number;
      readonly places?: readonly number[];
      readonly traced: boolean;
      readonly broken?: string;
    }
  /** Nothing to run: help was shown, or what is wrong was said. */
  | { readonly type: "told"; readonly exitCode: number };

interface Given {
  readonly seed: number;
  readonly seeds: number;
  readonly workers: number;
  readonly only?: readonly number[];
  readonly trace?: true;
  readonly broken?: string;
}

export function parseArguments(argv: readonly string[], mutations: readonly string[]): Arguments {
  const command = new Command("npm run simulate --")
    .description(
      "Runs publishers, Redis and resolvers as one process on one clock, a world for each seed, and says what must hold and does not.",
    )
    .addOption(new Option("--seed <n>", "the first").argParser(between(0, SEED_MAX, true)).default(1))
    .addOption(new Option("--seeds <n>", "how many").argParser(between(1, SEEDS_MAX, true)).default(1))
    .addOption(
      new Option("--workers <n>", "processes that share the seeds: one a core")
        .argParser(between(1, WORKERS_MAX, true))
        .default(1)
        .conflicts(["only", "trace", "broken"]),
    )
    .addOption(
      new Option("--only <places>", "of the steps that are kept, such as 8,9,16; without it all are").argParser(
        placesOf,
      ),
    )
    .option("--trace", "print everything that happens")
    .addOption(
      new Option("--broken <name>", "break the product on purpose, and end with the first seed that finds it").choices(
        mutations,
      ),
    )
    .allowExcessArguments(false)
    .exitOverride();
  try {
    const { seed, seeds, workers, only, trace = false, broken } = command.parse(argv).opts<Given>();
    return {
      type: "simulate",
      first: seed,
      count: seeds,
      workers,
      traced: trace,
      ...(only ? { places: only } : {}),
      ...(broken === undefined ? {} : { broken }),
    };
  } catch (error) {
    if (error instanceof CommanderError) return { type: "told", exitCode: error.exitCode === 0 ? 0 : EXIT_USAGE };
    throw error;
  }
}

function placesOf(text: string): readonly number[] {
  if (!/^\d{1,4}(?:,\d{1,4})*$/.test(text)) throw new InvalidArgumentError("It must be numbers such as 8,9,16.");
  return text.split(",").map(Number);
}
