/** Etcd answers a renewal within milliseconds, and within this even when it is busy. */
const LATENCY_MS_EASY = 200;
/** From here on it counts as strained to the full: much slower, and renewals go unanswered. */
const LATENCY_MS_FULL = 1000;
/** The weight of one answer in the mean: some ten answers tell of a change, and one alone does not. */
const WEIGHT = 0.2;

/** How hard etcd finds it to answer renewals, by how long it takes. */
export interface Strain {
  answered(latencyMs: number): void;
  /** Nothing was heard for this long. */
  silent(latencyMs: number): void;
  /** 0: at ease. 1: strained to the full. */
  level(): number;
}

export function createStrain(): Strain {
  let meanMs = 0;
  return {
    // Slower than strained to the full is not more of it: one answer of many seconds would outweigh dozens of quick ones.
    answered(latencyMs) {
      meanMs += (Math.min(LATENCY_MS_FULL, latencyMs) - meanMs) * WEIGHT;
    },
    silent(latencyMs) {
      meanMs = Math.max(meanMs, Math.min(LATENCY_MS_FULL, latencyMs));
    },
    level: () => Math.min(1, Math.max(0, (meanMs - LATENCY_MS_EASY) / (LATENCY_MS_FULL - LATENCY_MS_EASY))),
  };
}
