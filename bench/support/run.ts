import { Command, CommanderError } from "commander";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../kernel/errors.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { goalLine, keep, machine, summarise } from "./report.ts";
import { isMet, type Measured } from "./result.ts";
import { createStage, type Stage } from "./stage.ts";

export interface Measurement {
  readonly name: string;
  readonly title: string;
  readonly measure: (stage: Stage, short: boolean) => Promise<Measured>;
}

/** The measurements of one part of the project, as `npm run bench:{part}` runs them. */
export interface Benchmark {
  /** Names the command, and the folder of the results. */
  readonly part: string;
  /** Of the summary. */
  readonly title: string;
  readonly description: string;
  readonly measurements: readonly Measurement[];
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

interface Options {
  readonly only?: readonly string[];
  readonly short: boolean;
  readonly out?: string;
  readonly strict: boolean;
}

/** The whole of a benchmark's command. Sets the exit code. */
export async function runBenchmark(benchmark: Benchmark): Promise<void> {
  try {
    process.exitCode = await run(benchmark, process.argv);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
    console.error(`bench:${benchmark.part}: ${text}`);
    process.exitCode = EXIT_FAILED;
  }
}

async function run(benchmark: Benchmark, argv: readonly string[]): Promise<number> {
  const { part, title, measurements } = benchmark;
  const options = parse(benchmark, argv);
  if (typeof options === "number") return options;
  const signal = shutdownSignal();
  const chosen = measurements.filter(({ name }) => options.only?.includes(name) ?? true);
  const folder = options.out ?? folderOf(options.short ? `../../.cache/bench/${part}` : `../results/${part}`);
  let missed = 0;
  const measureOne = async (measurement: Measurement) => {
    const { goals } = await measureAndKeep(part, measurement, options.short, folder, signal);
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
  const names = measurements.map(({ name }) => name);
  console.log(summarise(folder, title, names));
  return options.strict && missed > 0 ? EXIT_FAILED : 0;
}

/** Gives the exit code instead, when there is nothing to run. */
function parse({ part, description, measurements }: Benchmark, argv: readonly string[]): Options | number {
  const names = measurements.map(({ name }) => name);
  const results = `(default: bench/results/${part}, with --short .cache/bench)`;
  const command = new Command(`npm run bench:${part} --`)
    .description(description)
    .option("--only <names>", `some of them, separated by commas: ${names.join(", ")}`, (text) =>
      readNames(text, names),
    )
    .option("--short", "a few seconds in all, to see that everything works; the figures mean nothing", false)
    .option("--out <folder>", `where results are kept ${results}`)
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

function readNames(text: string, names: readonly string[]): readonly string[] {
  const chosen = text.split(",");
  const unknown = chosen.find((name) => !names.includes(name));
  if (unknown === undefined) return chosen;
  const message = `error: there is no measurement "${unknown}": it is one of ${names.join(", ")}`;
  console.error(message);
  throw new CommanderError(EXIT_USAGE, "bench.only", message);
}

async function measureAndKeep(
  part: string,
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
      command: `npm run bench:${part} -- ${short ? "--short " : ""}--only ${name}`,
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
