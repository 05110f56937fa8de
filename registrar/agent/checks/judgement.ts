/** What a run of results says of an instance. */
export interface Judgement {
  readonly verdict: "up" | "down";
  /** Results in a row; one of the two is 0. */
  readonly passes: number;
  readonly failures: number;
  /** It has not passed since it was registered: its first success is enough. */
  readonly untried: boolean;
}

/** What an instance starts with: its status as it is registered. */
export function judgementOf(verdict: "up" | "down", untried: boolean): Judgement {
  return { verdict, passes: 0, failures: 0, untried };
}

/** The judgement after one more result: up after `rise` successes in a row, down after `fall` failures. */
export function judge(
  before: Judgement,
  passed: boolean,
  { rise, fall }: { readonly rise: number; readonly fall: number },
): Judgement {
  const passes = passed ? before.passes + 1 : 0;
  const failures = passed ? 0 : before.failures + 1;
  const untried = before.untried && !passed;
  if (before.verdict === "down") {
    const isUp = passes >= (before.untried ? 1 : rise);
    return { verdict: isUp ? "up" : "down", passes, failures, untried };
  }
  return { verdict: failures >= fall ? "down" : "up", passes, failures, untried };
}
