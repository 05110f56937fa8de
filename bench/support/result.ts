/** One line of a measurement's table. */
export type Figures = Readonly<Record<string, number | string>>;

export interface Goal {
  readonly what: string;
  readonly actual: number;
  readonly bound: "at most" | "at least";
  readonly limit: number;
  readonly unit: string;
}

/** What a measurement gives. */
export interface Measured {
  readonly workload: Figures;
  readonly versions: Readonly<Record<string, string>>;
  /** By subject: the baseline first. */
  readonly figures: Readonly<Record<string, Figures>>;
  readonly goals: readonly Goal[];
  /** What a reader must know to take the figures for what they are. */
  readonly notes: readonly string[];
  /** The samples that the figures were made from. */
  readonly raw: unknown;
}

export function isMet({ actual, bound, limit }: Goal): boolean {
  return bound === "at most" ? actual <= limit : actual >= limit;
}
