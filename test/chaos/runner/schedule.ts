import type { Planned } from "../faults/fault.ts";
import { FAULTS } from "../faults/index.ts";
import { parseFaults, type FaultsAsked } from "../faults/parse-schedule.ts";
import { drawSchedule } from "../faults/schedule.ts";

/** In place of a list of faults. */
const NO_FAULTS = "none";
const MINUTES_DEFAULT = 2;
/** After the last fault of a schedule, so that what it did is seen. */
const AFTERWARDS_MS = 500;

interface Asked {
  readonly seed: number;
  readonly minutes?: number;
  readonly faults?: string;
}

/** The faults of a run: as its schedule says, or drawn from its seed. */
export function scheduleOf(asked: Asked, leaseTtlMs: number): readonly Planned[] {
  const { seed } = asked;
  const parsed = readFaults(asked.faults, seed);
  if (parsed.type === "schedule") return parsed.planned;
  return drawSchedule({ seed, durationMs: minutesOf(asked) * 60_000, faults: parsed.faults, leaseTtlMs });
}

/** Of the phase of faults: as asked, as long as an explicit schedule needs, or the default. */
export function minutesOf({ minutes, faults, seed }: Asked): number {
  if (minutes !== undefined) return minutes;
  const parsed = readFaults(faults, seed);
  if (parsed.type === "only") return MINUTES_DEFAULT;
  const ends = parsed.planned.map(({ atMs, durationMs }) => atMs + durationMs);
  return (Math.max(0, ...ends) + AFTERWARDS_MS) / 60_000;
}

/** Throws what is wrong with the text. */
export function readFaults(text: string | undefined, seed: number): FaultsAsked {
  if (text === undefined) return { type: "only", faults: FAULTS };
  return text === NO_FAULTS ? { type: "schedule", planned: [] } : parseFaults(text, FAULTS, seed);
}
