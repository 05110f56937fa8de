/**
 * `npm run fuzz -- --seed N --minutes M`: rounds of one seed after another until the time is over; without minutes one
 * round. `--only` names parts, `--cases` how many requests each gets in a round. Ends with 1 when something was found.
 */
import { parseArgs } from "node:util";
import { bundleWorker } from "../../dev/bundle.ts";
import { PARTS, startFuzz, type Part } from "./run.ts";

const CASES = 400;
/** Of what is stored: each is looked at for a moment. */
const STORED_PER_REQUEST = 1 / 10;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "0" },
    cases: { type: "string", default: String(CASES) },
    only: { type: "string", default: PARTS.join(",") },
  },
});
const numbers = { seed: Number(values.seed), minutes: Number(values.minutes), cases: Number(values.cases) };
const parts = values.only.split(",") as Part[];
const isWhole = (number: number) => Number.isSafeInteger(number) && number >= 0;
if (!isWhole(numbers.seed) || !(numbers.minutes >= 0) || !isWhole(numbers.cases)) {
  throw new Error("--seed, --minutes and --cases must be numbers, and the first and the last whole ones");
}
if (!parts.every((part) => PARTS.includes(part))) throw new Error(`--only must be of ${PARTS.join(", ")}`);

const fuzz = await startFuzz({ parts, workerScript: (dir) => bundleWorker(dir, new AbortController().signal) });
try {
  const endsAt = performance.now() + numbers.minutes * 60_000;
  const found = new Set<string>();
  let seed = numbers.seed;
  do {
    const stored = Math.ceil(numbers.cases * STORED_PER_REQUEST);
    const { findings, answers } = await fuzz.round(seed, { requests: numbers.cases, stored });
    for (const { surface, what, replay } of findings) {
      console.log(`\n${surface}: ${what}\nreplay: ${replay}`);
      found.add(`${surface}: ${what.slice(0, 60)}`);
    }
    const counts = [...answers].map(([part, by]) => `${part} ${[...by].map((pair) => pair.join("×")).join(" ")}`);
    console.log(`seed ${seed}: ${findings.length} found; ${counts.join("; ")}`);
    seed++;
  } while (performance.now() < endsAt);
  if (found.size > 0) process.exitCode = 1;
} finally {
  await fuzz.close();
}
