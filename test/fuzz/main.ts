/** `npm run fuzz`: exits with 0 when nothing was found, 1 when something was, 2 when it was not understood, 130 interrupted. */
import { bundleWorker } from "../../dev/bundle.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { parseArguments, type Arguments } from "./arguments.ts";
import { startFuzz } from "./run.ts";

/** Of what is stored: each is looked at for a moment. */
const STORED_PER_REQUEST = 1 / 10;
const EXIT_FOUND = 1;
const EXIT_INTERRUPTED = 130;

const given = parseArguments(process.argv);
process.exit(given.type === "told" ? given.exitCode : await main(given));

async function main({ seed: first, minutes, cases, parts }: Extract<Arguments, { type: "fuzz" }>): Promise<number> {
  const signal = shutdownSignal();
  const interrupted = new Promise<"interrupted">((resolve) => {
    signal.addEventListener("abort", () => resolve("interrupted"), { once: true });
  });
  let fuzz;
  try {
    fuzz = await startFuzz({ parts, workerScript: (dir) => bundleWorker(dir, signal) });
  } catch (error) {
    if (signal.aborted) return EXIT_INTERRUPTED;
    throw error;
  }
  try {
    const endsAt = performance.now() + minutes * 60_000;
    let found = 0;
    let seed = first;
    do {
      if (signal.aborted) return EXIT_INTERRUPTED;
      const stored = Math.ceil(cases * STORED_PER_REQUEST);
      const round = await Promise.race([fuzz.round(seed, { requests: cases, stored }), interrupted]);
      if (round === "interrupted") {
        console.log(`seed ${seed}: interrupted; nothing was concluded`);
        return EXIT_INTERRUPTED;
      }
      for (const { surface, what, replay } of round.findings) {
        console.log(`\n${surface}: ${what}\nreplay: ${replay}`);
      }
      const counts = [...round.answers].map(
        ([part, by]) => `${part} ${[...by].map((pair) => pair.join("×")).join(" ")}`,
      );
      console.log(`seed ${seed}: ${round.findings.length} found; ${counts.join("; ")}`);
      found += round.findings.length;
      seed++;
    } while (performance.now() < endsAt);
    return found > 0 ? EXIT_FOUND : 0;
  } finally {
    await fuzz.close();
  }
}
