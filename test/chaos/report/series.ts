export type Point = readonly [atMs: number, value: number];

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

/** Points along the width of the page: more would fall on the same pixel. */
const BUCKETS = 400;

export function bucketMsOf(fromMs: number, toMs: number): number {
  return Math.max(100, (toMs - fromMs) / BUCKETS);
}

/** What `add` makes of the values of each bucket, in order of time; buckets without a value are left out. */
export function bucketed(
  values: Iterable<Point>,
  bucketMs: number,
  add: (sum: number, value: number) => number,
): readonly Point[] {
  const sums = new Map<number, number>();
  for (const [at, value] of values) {
    const bucket = Math.floor(at / bucketMs);
    const sum = sums.get(bucket);
    sums.set(bucket, sum === undefined ? value : add(sum, value));
  }
  return [...sums].toSorted(([a], [b]) => a - b).map(([bucket, sum]) => [(bucket + 0.5) * bucketMs, sum]);
}

/** Events a second, with zeros where none was: a line would else go on as if some had been. */
export function rateOf(times: Iterable<number>, fromMs: number, toMs: number, bucketMs: number): readonly Point[] {
  const counts = new Map<number, number>();
  for (const at of times) {
    const bucket = Math.floor(at / bucketMs);
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  }
  const points: Point[] = [];
  for (let bucket = Math.floor(fromMs / bucketMs); bucket * bucketMs < toMs; bucket++) {
    points.push([(bucket + 0.5) * bucketMs, ((counts.get(bucket) ?? 0) * 1000) / bucketMs]);
  }
  return points;
}

/** How fast a counter grew between its samples; where it began anew, its process did. */
export function growthOf(samples: readonly Point[]): readonly Point[] {
  return samples.slice(1).map(([at, value], index) => {
    const [beforeAt = 0, before = 0] = samples[index] ?? [];
    const grown = value < before ? value : value - before;
    return [at, (grown * 1000) / Math.max(1, at - beforeAt)];
  });
}

export function grouped<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** The same, as pairs in the order of their names. */
export function groupedByName<T>(items: Iterable<T>, keyOf: (item: T) => string): [string, T[]][] {
  return [...grouped(items, keyOf)].toSorted(([a], [b]) => a.localeCompare(b));
}
