import { Command, CommanderError } from "commander";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../kernel/errors.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { goalLine, keep, machine, summarise } from "../support/report.ts";
import { isMet, type Measured } from "../support/result.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { measureAuthentication } from "./authentication.ts";
import { measureFailover } from "./failover.ts";
import { measurePropagation } from "./propagation.ts";
import { measureRegistration } from "./registration.ts";
import { measureRenewals } from "./renewals.ts";
import { measureStart } from "./start.ts";

interface Measurement {
  readonly name: string;
  readonly title: string;
  readonly measure: (stage: Stage, short: boolean) => Promise<Measured>;
}

const TITLE = "The registrar, measured";
const MEASUREMENTS: readonly Measurement[] = [
  { name: "authentication", title: "Authentication", measure: measureAuthentication },
  { name: "renewals", title: "Renewal load", measure: measureRenewals },
  { name: "registration", title: "Registration", measure: measureRegistration },
  { name: "propagation", title: "Propagation", measure: measurePropagation },
  { name: "start", title: "Start", measure: measureStart },
  { name: "failover", title: "Failover", measure: measureFailover },
];
const NAMES = MEASUREMENTS.map(({ name }) => name);
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

interface Options {
  readonly only?: readonly string[];
  readonly short: boolean;
  readonly out?: string;
  readonly strict: boolean;
}

async function run(argv: readonly string[]): Promise<number> {
  const options = parse(argv);
  if (typeof options === "number") return options;
  const signal = shutdownSignal();
  const chosen = MEASUREMENTS.filter(({ name }) => options.only?.includes(name) ?? true);
  const folder = options.out ?? folderOf(options.short ? "../../.cache/bench/registrar" : "../results/registrar");
  let missed = 0;
  const measureOne = async (measurement: Measurement) => {
    const { goals } = await measureAndKeep(measurement, options.short, folder, signal);
    for (const goal of goals) console.error(`${measurement.name}: ${goalLine(goal).slice(2)}`);
    missed += goals.filter((goal) => !isMet(goal)).length;
  };
  try {
    // A short run is about whether they work: at once, as its times mean nothing anyway.
    if (options.short) await Promise.all(chosen.map(measureOne));
    else for (const measurement of chosen) await measureOne(measurement);
  } catch (error) {
    if (signal.aborted) {
      console.error("ended before it was done; what was measured until then is kept");
      return EXIT_INTERRUPTED;
    }
    throw error;
  }
  console.log(summarise(folder, TITLE, NAMES));
  return options.strict && missed > 0 ? EXIT_FAILED : 0;
}

/** Gives the exit code instead, when there is nothing to run. */
function parse(argv: readonly string[]): Options | number {
  const command = new Command("npm run bench:registrar --")
    .description("Measures the registrar against a baseline in the same run, on a real etcd and a real Redis.")
    .option("--only <names>", `some of them, separated by commas: ${NAMES.join(", ")}`, readNames)
    .option("--short", "a few seconds in all, to see that everything works; the figures mean nothing", false)
    .option("--out <folder>", "where results are kept (default: bench/results/registrar, with --short .cache/bench)")
    .option("--strict", "exit with 1 when a goal is missed", false)
    .allowExcessArguments(false)
    .exitOverride();
  try {
    return command.parse(argv).opts<Options>();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    throw error;
  }
}

function readNames(text: string): readonly string[] {
  const names = text.split(",");
  const unknown = names.find((name) => !NAMES.includes(name));
  if (unknown === undefined) return names;
  throw new CommanderError(EXIT_USAGE, "bench.only", reportUnknown(unknown));
}

function reportUnknown(name: string): string {
  const message = `error: there is no measurement "${name}": it is one of ${NAMES.join(", ")}`;
  console.error(message);
  return message;
}

async function measureAndKeep(
  { name, title, measure }: Measurement,
  short: boolean,
  folder: string,
  signal: AbortSignal,
): Promise<Measured> {
  const stage = createStage(name, signal);
  const startedAt = performance.now();
  try {
    // Its end is awaited even when it is given up: nothing that it started may outlive this.
    const measured = await Promise.race([measure(stage, short), untilAborted(signal)]);
    keep(folder, {
      name,
      title,
      mode: short ? "short" : "full",
      takenAt: new Date().toISOString(),
      tookSeconds: (performance.now() - startedAt) / 1000,
      command: `npm run bench:registrar -- ${short ? "--short " : ""}--only ${name}`,
      machine: machine(),
      ...measured,
    });
    return measured;
  } finally {
    await stage.close();
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(new Error("given up"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

function folderOf(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

try {
  process.exitCode = await run(process.argv);
} catch (error) {
  console.error(`bench:registrar: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`);
  process.exitCode = EXIT_FAILED;
}
