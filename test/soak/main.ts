/** `npm run soak`: exits with 0 when nothing grows and every guarantee held, 1 when not, 3 when the run itself failed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { checkAll } from "../chaos/guarantees/index.ts";
import { parseArguments, type Arguments } from "./arguments.ts";
import { keepResult, resultOf } from "./result.ts";
import { readSoak, READINGS } from "./recorded.ts";
import { soak, type Soaked } from "./run.ts";
import { tellVerdict } from "./verdict.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_RUN_FAILED = 3;
const EXIT_INTERRUPTED = 130;

const ended = await run(parseArguments(process.argv));
// Everything has ended by now. Left to end by itself, Node was seen to wait for ever, at full load, for esbuild's child.
process.exit(ended);

async function run(given: Arguments): Promise<number> {
  if (given.type === "told") return given.exitCode;
  if (given.type === "soak") return main(given.minutes, given.seed, given.out);
  try {
    const { takenAt, ...soaked } = readSoak(given.folder);
    return conclude(soaked, takenAt, given.out);
  } catch (error) {
    console.error(`there is nothing to check: ${messageOf(error)}`);
    return EXIT_USAGE;
  }
}

/** Says and keeps what a soak has shown. */
function conclude(soaked: Soaked, takenAt: string, out: string): number {
  const { minutes, seed } = soaked.run;
  const command = `npm run soak -- --minutes ${minutes} --seed ${seed}`;
  const result = resultOf({ soaked, violations: checkAll(soaked.history), command, takenAt });
  keepResult(out, result);
  for (const verdict of result.verdicts) console.log(tellVerdict(verdict));
  for (const { guarantee, what } of result.violations) console.log(`BROKEN: ${guarantee}: ${what}`);
  console.log(`${result.passed ? "flat, and every guarantee held" : "NOT FLAT, or a guarantee is broken"}: see ${out}`);
  return result.passed ? 0 : EXIT_FAILED;
}

async function main(minutes: number, seed: number, out: string): Promise<number> {
  const signal = shutdownSignal();
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-soak-"));
  const takenAt = new Date().toISOString();
  const say = (line: string) => console.error(line);
  let exitCode = EXIT_RUN_FAILED;
  try {
    const soaked = await soak({ minutes, seed, dir, clock: systemClock, random: systemRandom, signal, say });
    // Beside the history: what there is to look at where something grows.
    writeFileSync(join(dir, READINGS), JSON.stringify(soaked.readings));
    exitCode = conclude(soaked, takenAt, out);
  } catch (error) {
    if (signal.aborted) exitCode = EXIT_INTERRUPTED;
    say(signal.aborted ? "interrupted: nothing was concluded" : `the run failed: ${messageOf(error)}`);
  }
  const isOfUse = exitCode === EXIT_FAILED || exitCode === EXIT_RUN_FAILED;
  if (isOfUse) say(`its history and logs are in ${dir}`);
  else rmSync(dir, { recursive: true, force: true });
  return exitCode;
}
