import type { HistoryEvent } from "../history/event.ts";
import type { Guarantee, GuaranteeName, Violation } from "./guarantee.ts";
import { viewOf, type View } from "./view.ts";

/** Tells of a violation; events that are told twice are one. */
export type Accuse = (what: string, events: readonly HistoryEvent[]) => void;

/** What a check says of one thing that goes on: all of the same kind would bury the others. */
const VIOLATIONS_MAX = 20;

/**
 * A guarantee from a function that goes through a history and accuses. It gives the number of observations that it could
 * judge: a check that had none says nothing by finding nothing.
 */
export function defineGuarantee(
  name: GuaranteeName,
  promise: string,
  judge: (view: View, accuse: Accuse) => number,
): Guarantee {
  function run(history: readonly HistoryEvent[]) {
    const violations: Violation[] = [];
    const view = viewOf(history);
    const judged = judge(view, (what, events) => {
      if (violations.length < VIOLATIONS_MAX) violations.push({ guarantee: name, what, events: inOrder(events) });
    });
    return { violations, judged };
  }
  return {
    name,
    promise,
    check: (history) => run(history).violations,
    judged: (history) => run(history).judged,
  };
}

/** Some may be cut to what matters, and are then not those of the history: their times tell the order. */
function inOrder(events: readonly HistoryEvent[]): readonly HistoryEvent[] {
  const beginOf = (event: HistoryEvent) => ("at" in event ? event.at : "from" in event ? event.from : 0);
  return [...new Set(events)].toSorted((a, b) => beginOf(a) - beginOf(b));
}
