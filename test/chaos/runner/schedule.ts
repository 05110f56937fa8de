import type { Planned } from "../faults/fault.ts";
import { FAULTS } from "../faults/index.ts";
import { parseFaults, type FaultsAsked } from "../faults/parse-schedule.ts";
import { drawSchedule } from "../faults/schedule.ts";
import { FAULTS_MINUTES, FAULTS_MINUTES_SHORT } from "./phases.ts";

/** In place of a list of faults. */
const NO_FAULTS = "none";
/** After the last fault of a schedule, so that what it did is seen. */
const AFTERWARDS_MS = 500;

interface Asked {
  readonly seed: number;
  readonly minutes?: number;
  readonly faults?: string;
  readonly short?: boolean;
}

/** The faults of a run: as its schedule says, or drawn from its seed. */
export function scheduleOf(asked: Asked, leaseTtlMs: number): readonly Planned[] {
  const { seed } = asked;
  const parsed = readFaults(asked.faults, seed);
  if (parsed.type === "schedule") return parsed.planned;
  return drawSchedule({ seed, durationMs: minutesOf(asked) * 60_000, faults: parsed.faults, leaseTtlMs });
}

/** Of the phase of faults: as asked, but as long as an explicit schedule at least; left out, just that, or the default. */
export function minutesOf({ minutes, faults, seed, short = false }: Asked): number {
  const parsed = readFaults(faults, seed);
  const ends = parsed.type === "schedule" ? parsed.planned.map(({ atMs, durationMs }) => atMs + durationMs) : [];
  if (ends.length === 0) return minutes ?? (short ? FAULTS_MINUTES_SHORT : FAULTS_MINUTES);
  const endMs = Math.max(...ends);
  return minutes === undefined ? (endMs + AFTERWARDS_MS) / 60_000 : Math.max(minutes, endMs / 60_000);
}

/** Throws what is wrong with the text. */
export function readFaults(text: string | undefined, seed: number): FaultsAsked {
  if (text === undefined) return { type: "only", faults: FAULTS };
  return text === NO_FAULTS ? { type: "schedule", planned: [] } : parseFaults(text, FAULTS, seed);
}
