import { Command, CommanderError, Option } from "commander";
import { between } from "../support/number-option.ts";

/** What a history holds is an hour and a half of a soak. */
const MINUTES_MAX = 90;
/** Below, there are too few readings to judge anything by. */
const MINUTES_MIN = 2;
const MINUTES_DEFAULT = 60;
const SEED_MAX = 2 ** 32 - 1;
const SEED_DEFAULT = 1;

const EXIT_USAGE = 2;

export type Arguments =
  | { readonly type: "soak"; readonly minutes: number; readonly seed: number; readonly out: string }
  /** A folder that an earlier run has left. */
  | { readonly type: "check"; readonly folder: string; readonly out: string }
  /** Nothing to run: help was shown, or what is wrong was said. */
  | { readonly type: "told"; readonly exitCode: number };

export function parseArguments(argv: readonly string[]): Arguments {
  const command = new Command("npm run soak --")
    .description(
      "Runs a whole fleet on this machine under steady churn and without faults, and says whether what its processes use stays flat.",
    )
    .addOption(
      new Option("--minutes <m>", "of churn; below twenty only fast leaks show")
        .argParser(between(MINUTES_MIN, MINUTES_MAX, false))
        .default(MINUTES_DEFAULT),
    )
    .addOption(new Option("--seed <n>", "of what churns").argParser(between(0, SEED_MAX, true)).default(SEED_DEFAULT))
    .option("--out <folder>", "where soak.svg and soak.json go (default: docs for an hour or more, else .cache/soak)")
    .addOption(new Option("--check <folder>", "judge again what a run has left there").conflicts(["minutes", "seed"]))
    .allowExcessArguments(false)
    .exitOverride();
  try {
    const { minutes, seed, out, check } = command
      .parse(argv)
      .opts<{ minutes: number; seed: number; out?: string; check?: string }>();
    if (check !== undefined) return { type: "check", folder: check, out: out ?? ".cache/soak" };
    return { type: "soak", minutes, seed, out: out ?? (minutes >= MINUTES_DEFAULT ? "docs" : ".cache/soak") };
  } catch (error) {
    if (error instanceof CommanderError) return { type: "told", exitCode: error.exitCode === 0 ? 0 : EXIT_USAGE };
    throw error;
  }
}
