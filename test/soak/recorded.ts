import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { HistoryEvent, Phase, RunEvent } from "../chaos/history/event.ts";
import { readHistory } from "../chaos/history/recorder.ts";
import type { Soaked } from "./run.ts";
import type { Reading } from "./sampler.ts";

const HISTORY = "history.jsonl";
/** Beside the history: what only a soak reads. */
export const READINGS = "readings.json";

/** What a run that came to its end has left in its folder. Throws what is missing there. */
export function readSoak(folder: string): Soaked & { readonly takenAt: string } {
  const history = readHistory(join(folder, HISTORY));
  const readings = JSON.parse(readFileSync(join(folder, READINGS), "utf8")) as readonly Reading[];
  const run = history.find((event): event is RunEvent => event.type === "run");
  if (!run) throw new Error(`${join(folder, HISTORY)} does not say what ran`);
  return {
    history,
    readings,
    run,
    fromMs: beginOf(history, "faults"),
    toMs: beginOf(history, "healed"),
    takenAt: statSync(join(folder, READINGS)).mtime.toISOString(),
  };
}

function beginOf(history: readonly HistoryEvent[], phase: Phase): number {
  const event = history.find((each) => each.type === "phase" && each.phase === phase);
  if (event?.type !== "phase") throw new Error(`the history ends before "${phase}"`);
  return event.at;
}
