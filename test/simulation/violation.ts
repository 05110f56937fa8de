/** What must hold in every world; docs/consistency.md says what each means. */
export const GUARANTEES = [
  "availability",
  "never empty by accident",
  "forward only",
  "honest age",
  "single writer",
  "nothing acknowledged is lost",
  "404 only when true",
  "convergence",
  "bounded",
  "no defect",
] as const;

export type Guarantee = (typeof GUARANTEES)[number];

export interface Violation {
  readonly guarantee: Guarantee;
  readonly atMs: number;
  readonly text: string;
}
