import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { between } from "../support/number-option.ts";
import { PARTS, type Part } from "./run.ts";

const SEED_MAX = 2 ** 32 - 1;
/** A day: longer finds no more than another seed. */
const MINUTES_MAX = 1440;
const CASES_DEFAULT = 400;
const CASES_MAX = 100_000;

const EXIT_USAGE = 2;

export type Arguments =
  | {
      readonly type: "fuzz";
      readonly seed: number;
      readonly minutes: number;
      readonly cases: number;
      readonly parts: readonly Part[];
    }
  /** Nothing to run: help was shown, or what is wrong was said. */
  | { readonly type: "told"; readonly exitCode: number };

interface Given {
  readonly seed: number;
  readonly minutes: number;
  readonly cases: number;
  readonly only?: readonly Part[];
}

export function parseArguments(argv: readonly string[]): Arguments {
  const command = new Command("npm run fuzz --")
    .description(
      "Sends wrong requests to a registrar, a gateway and two resolvers, damages what is stored, and says what is not answered or refused as it must be.",
    )
    .addOption(new Option("--seed <n>", "of the first round").argParser(between(0, SEED_MAX, true)).default(1))
    .addOption(
      new Option("--minutes <m>", "rounds of one seed after another until then; 0: one round")
        .argParser(between(0, MINUTES_MAX, false))
        .default(0),
    )
    .addOption(
      new Option("--cases <n>", "requests to each part in a round")
        .argParser(between(1, CASES_MAX, true))
        .default(CASES_DEFAULT),
    )
    .addOption(new Option("--only <parts>", `of ${PARTS.join(",")}; without it all`).argParser(partsOf))
    .allowExcessArguments(false)
    .exitOverride();
  try {
    const { only = PARTS, ...numbers } = command.parse(argv).opts<Given>();
    return { type: "fuzz", ...numbers, parts: only };
  } catch (error) {
    if (error instanceof CommanderError) return { type: "told", exitCode: error.exitCode === 0 ? 0 : EXIT_USAGE };
    throw error;
  }
}

function partsOf(text: string): readonly Part[] {
  const isPart = (name: string): name is Part => PARTS.some((part) => part === name);
  const names = text.split(",");
  if (!names.every(isPart)) throw new InvalidArgumentError(`It must be of ${PARTS.join(",")}.`);
  return [...new Set(names)];
}
