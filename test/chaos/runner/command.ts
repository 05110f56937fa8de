import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { cacheDirOf } from "../../../dev/binaries.ts";
import { systemClock } from "../../../kernel/clock.ts";
import { messageOf } from "../../../kernel/errors.ts";
import { systemRandom } from "../../../kernel/random.ts";
import { shutdownSignal } from "../../../node/shutdown.ts";
import { BROKEN_BUILDS, type BrokenBuild } from "../broken/builds.ts";
import { FAULTS } from "../faults/index.ts";
import { readHistory } from "../history/recorder.ts";
import type { HistoryEvent, RunEvent } from "../history/event.ts";
import { runChaos } from "../run.ts";
import {
  EXIT_BROKEN,
  EXIT_INTERRUPTED,
  EXIT_RUN_FAILED,
  EXIT_USAGE,
  parseArguments,
  type RunArguments,
} from "./arguments.ts";
import { createRunFolder } from "./folders.ts";
import { replayCommand } from "./replay.ts";
import { readFaults } from "./schedule.ts";
import { drawSeed } from "./seed.ts";
import { judge, type Verdict } from "./verdict.ts";

type Outcome =
  | { readonly type: "judged"; readonly verdict: Verdict }
  | { readonly type: "failed"; readonly reason: string }
  | { readonly type: "interrupted" };

/** `npm run chaos`; gives the exit code: 0 held, 1 broken, 2 not understood, 3 the run failed, 130 interrupted. */
export async function runCommand(argv: readonly string[]): Promise<number> {
  const names = BROKEN_BUILDS.map(({ name }) => name);
  const given = parseArguments(argv, (text) => readFaults(text, 0), names);
  switch (given.type) {
    case "told":
      return given.exitCode;
    case "list-faults":
      for (const { name, about } of FAULTS) console.log(`${name.padEnd(30)} ${about}`);
      return 0;
    case "check":
      return checkAgain(given.file);
    case "broken":
      return runBroken(
        BROKEN_BUILDS.filter(({ name }) => given.name === "all" || name === given.name),
        given.seed,
        given.run,
      );
    case "seeds":
      return runSeeds(given.seeds === "drawn" ? [drawSeed(systemRandom)] : given.seeds, given.run);
  }
}

async function runSeeds(seeds: readonly number[], run: RunArguments): Promise<number> {
  const signal = shutdownSignal();
  const results: { readonly seed: number; readonly outcome: Outcome }[] = [];
  for (const seed of seeds) {
    const outcome = await runOne(seed, run, signal);
    results.push({ seed, outcome });
    if (outcome.type === "judged") console.log(outcome.verdict.text);
    else if (outcome.type === "failed")
      console.log(`seed ${seed}: the run failed, and says nothing: ${outcome.reason}`);
    else {
      console.log(`seed ${seed}: interrupted; nothing was concluded`);
      break;
    }
  }
  if (seeds.length > 1)
    console.log(`\n${results.map(({ seed, outcome }) => `seed ${seed}: ${wordOf(outcome)}`).join("\n")}`);
  return worst(results.map(({ outcome }) => outcome));
}

/** Each must be caught by the check of the guarantee that it breaks; whatever else it breaks is beside the point. */
async function runBroken(builds: readonly BrokenBuild[], seed: number, run: RunArguments): Promise<number> {
  const signal = shutdownSignal();
  const outcomes: Outcome[] = [];
  let missed = 0;
  for (const build of builds) {
    const asked = { ...run, short: true, minutes: build.seconds / 60, faults: build.faults };
    const outcome = await runOne(seed, asked, signal, build);
    outcomes.push(outcome);
    if (outcome.type === "interrupted") break;
    if (outcome.type === "failed") {
      console.log(`${build.name}: the run failed, and says nothing: ${outcome.reason}`);
      continue;
    }
    const { violations, text } = outcome.verdict;
    const caught = violations.find(({ guarantee }) => guarantee === build.guarantee);
    if (caught) {
      console.log(`${build.name}: caught by ${build.guarantee}: ${caught.what}`);
    } else {
      missed++;
      console.log(`${build.name}: NOT CAUGHT by ${build.guarantee}. ${build.about}\n${text}`);
    }
  }
  const failed = worst(outcomes.filter(({ type }) => type !== "judged"));
  return missed > 0 ? EXIT_BROKEN : failed;
}

async function runOne(seed: number, asked: RunArguments, signal: AbortSignal, broken?: BrokenBuild): Promise<Outcome> {
  const parent = asked.out === undefined ? join(cacheDirOf(process.env), "chaos") : resolve(asked.out);
  const folder = createRunFolder(parent, seed, systemClock.now());
  const startedAtMs = systemClock.monotonic();
  const say = (line: string) => {
    const seconds = ((systemClock.monotonic() - startedAtMs) / 1000).toFixed(1);
    console.error(`[${seconds.padStart(6)} s] ${line}`);
  };
  say(`seed ${seed}${broken ? `, the broken build ${broken.name}` : ""}; kept in ${folder}`);
  const command = replayCommand(seed, asked, broken?.name);
  try {
    const options = { ...asked, seed, command, folder, clock: systemClock, random: systemRandom, say, signal };
    const ran = await runChaos({ ...options, ...(broken ? { broken } : {}) });
    say("checking");
    const verdict = judge({ ...ran, folder });
    writeFileSync(join(folder, "result.txt"), `${verdict.text}\n`);
    return { type: "judged", verdict };
  } catch (error) {
    if (signal.aborted) return { type: "interrupted" };
    say(error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
    return { type: "failed", reason: `${messageOf(error)} (what there is of it: ${folder})` };
  }
}

function checkAgain(file: string): number {
  let history: readonly HistoryEvent[];
  try {
    history = readHistory(file);
  } catch (error) {
    console.error(`--check ${file}: it cannot be read as a history: ${messageOf(error)}`);
    return EXIT_USAGE;
  }
  const run = history.find((event): event is RunEvent => event.type === "run");
  if (!run) {
    console.error(`--check ${file}: no line of it says what ran, so it is no history.`);
    return EXIT_USAGE;
  }
  const verdict = judge({ run, history, historyFile: file });
  console.log(verdict.text);
  if (verdict.violations.length > 0) return EXIT_BROKEN;
  if (history.some((event) => event.type === "phase" && event.phase === "end")) return 0;
  // What a guarantee needs may just not have come yet.
  console.error(`--check ${file}: it ends before the run had ended, so that nothing was broken in it says nothing.`);
  return EXIT_RUN_FAILED;
}

function wordOf(outcome: Outcome): string {
  if (outcome.type !== "judged") return outcome.type;
  const broken = new Set(outcome.verdict.violations.map(({ guarantee }) => guarantee));
  return broken.size === 0 ? "held" : `BROKEN: ${[...broken].join(", ")}`;
}

function worst(outcomes: readonly Outcome[]): number {
  if (outcomes.some(({ type }) => type === "interrupted")) return EXIT_INTERRUPTED;
  const broken = outcomes.some((outcome) => outcome.type === "judged" && outcome.verdict.violations.length > 0);
  if (broken) return EXIT_BROKEN;
  return outcomes.some(({ type }) => type === "failed") ? EXIT_RUN_FAILED : 0;
}
