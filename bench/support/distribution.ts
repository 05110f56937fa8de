/** Percentiles of a sample, in the sample's unit. */
export interface Distribution {
  readonly count: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Throws for an empty sample: a measurement without values has gone wrong. */
export function distributionOf(values: readonly number[]): Distribution {
  if (values.length === 0) throw new Error("nothing was measured");
  const sorted = Float64Array.from(values).toSorted();
  // The nearest rank: always a value that was measured.
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  return { count: sorted.length, min: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

export function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
