import type { HistoryEvent } from "../history/event.ts";

/** A promise of docs/consistency.md, by the name that a failing run tells. */
export interface Guarantee {
  readonly name: GuaranteeName;
  /** One sentence: what is promised. */
  readonly promise: string;
  /** Every way in which the history breaks it; a pure function of the history. */
  check(history: readonly HistoryEvent[]): readonly Violation[];
  /** How many observations the check could judge. With none it says nothing by finding nothing. */
  judged(history: readonly HistoryEvent[]): number;
}

export type GuaranteeName =
  | "isolation"
  | "availability"
  | "never empty by accident"
  | "forward only"
  | "no ghosts"
  | "convergence"
  | "honest age"
  | "single writer"
  | "bounded"
  | "authentication";

export interface Violation {
  readonly guarantee: GuaranteeName;
  /** One sentence with names, numbers and times. */
  readonly what: string;
  /** The fewest events of the history that show it, in their order. */
  readonly events: readonly HistoryEvent[];
}
