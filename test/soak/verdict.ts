import type { Point } from "../chaos/report/series.ts";
import { QUANTITIES, type QuantityName, type Tolerance } from "./quantities.ts";
import { median, slopeOf } from "./slope.ts";

/** The first part of a run, which is not judged: caches, pools and heaps fill, once. */
export const WARM_UP_PART = 1 / 6;
/** Fewer tell nothing of a trend. */
export const POINTS_MIN = 12;

/** What one process used of one thing, over a run. */
export interface Measured {
  readonly process: string;
  readonly quantity: QuantityName;
  /** In order of time. */
  readonly points: readonly Point[];
}

/**
 * `flat`; `grows`; or `unmeasured`, with too few points to tell: nothing is proved by that, and a soak with one has failed
 * like one with a leak.
 */
export type Trend = "flat" | "grows" | "unmeasured";

export interface Verdict {
  readonly process: string;
  readonly quantity: QuantityName;
  readonly trend: Trend;
  /** The median of what is judged. */
  readonly level: number;
  /** Over all that is judged, and over the second half of it. */
  readonly growth: number;
  readonly growthLate: number;
  readonly allowed: number;
}

/** Each process' use of each thing, by itself. `fromMs` and `toMs`: of the run, its warm-up included. */
export function judge(measured: readonly Measured[], fromMs: number, toMs: number): readonly Verdict[] {
  const judgedFromMs = fromMs + (toMs - fromMs) * WARM_UP_PART;
  return measured.map(({ process, quantity, points }) => ({
    process,
    quantity,
    ...trendOf(
      points.filter(([at]) => at >= judgedFromMs && at <= toMs),
      QUANTITIES[quantity].tolerance,
    ),
  }));
}

/**
 * A leak grows for as long as one looks. What has grown, and grows no more, has found its size: so it counts as growth only
 * if the second half goes on with it, or has more than all of its tolerance by itself.
 */
function trendOf(points: readonly Point[], { part, floor }: Tolerance): Omit<Verdict, "process" | "quantity"> {
  const level = median(points.map(([, value]) => value));
  const allowed = Math.max(floor, part * level);
  const late = points.slice(points.length >>> 1);
  const growth = growthOf(points);
  const growthLate = growthOf(late);
  const grows = growthLate > allowed || (growth > allowed && growthLate > allowed / 2);
  const trend = points.length < POINTS_MIN ? "unmeasured" : grows ? "grows" : "flat";
  return { trend, level, growth, growthLate, allowed };
}

function growthOf(points: readonly Point[]): number {
  const [first] = points[0] ?? [0];
  const [last] = points.at(-1) ?? [0];
  return slopeOf(points) * (last - first);
}

/** One sentence, for people. */
export function tellVerdict({ process, quantity, trend, level, growth, growthLate, allowed }: Verdict): string {
  const { title, unit } = QUANTITIES[quantity];
  const amount = (value: number) => `${round(value)}${unit === "" ? "" : ` ${unit}`}`;
  const what = `${process}, ${title}`;
  if (trend === "unmeasured") return `${what}: too few samples to tell.`;
  const told = `${amount(level)}, ${growth < 0 ? "" : "+"}${amount(growth)} over all, ${growthLate < 0 ? "" : "+"}${amount(growthLate)} in the second half`;
  return `${what}: ${trend === "grows" ? "GROWS" : "flat"} at ${told}; ${amount(allowed)} allowed.`;
}

export function round(value: number): number {
  return Number(value.toPrecision(3));
}
