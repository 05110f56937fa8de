import type { Point } from "../chaos/report/series.ts";

/** Points a slope is made of: it looks at each pair of them. */
export const POINTS_MAX = 150;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The median of each of POINTS_MAX equal parts of the time; parts without a point are left out. */
export function thinned(points: readonly Point[]): readonly Point[] {
  const [first] = points[0] ?? [0];
  const [last] = points.at(-1) ?? [0];
  const partMs = (last - first) / POINTS_MAX || 1;
  const parts = new Map<number, number[]>();
  for (const [at, value] of points) {
    const part = Math.min(POINTS_MAX - 1, Math.floor((at - first) / partMs));
    const values = parts.get(part);
    if (values) values.push(value);
    else parts.set(part, [value]);
  }
  return [...parts]
    .toSorted(([a], [b]) => a - b)
    .map(([part, values]) => [first + (part + 0.5) * partMs, median(values)]);
}

/**
 * The median of the slopes of all pairs (Theil and Sen), per millisecond: near three points in ten may be anything, so
 * that no single garbage collection or burst decides. 0 with fewer than two points.
 */
export function slopeOf(points: readonly Point[]): number {
  const thin = points.length > POINTS_MAX ? thinned(points) : points;
  const slopes: number[] = [];
  for (const [index, [fromMs, from]] of thin.entries()) {
    for (const [toMs, to] of thin.slice(index + 1)) {
      if (toMs > fromMs) slopes.push((to - from) / (toMs - fromMs));
    }
  }
  return slopes.length === 0 ? 0 : median(slopes);
}
