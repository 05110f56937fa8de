import type { HistoryEvent } from "../history/event.ts";
import { authentication } from "./authentication.ts";
import { availability } from "./availability.ts";
import { bounded } from "./bounded.ts";
import { convergence } from "./convergence.ts";
import { forwardOnly } from "./forward-only.ts";
import type { Guarantee, Violation } from "./guarantee.ts";
import { honestAge } from "./honest-age.ts";
import { isolation } from "./isolation.ts";
import { neverEmpty } from "./never-empty.ts";
import { noGhosts } from "./no-ghosts.ts";
import { singleWriter } from "./single-writer.ts";

/** In the order of docs/consistency.md. */
export const GUARANTEES: readonly Guarantee[] = [
  isolation,
  availability,
  neverEmpty,
  forwardOnly,
  noGhosts,
  convergence,
  honestAge,
  singleWriter,
  bounded,
  authentication,
];

export function checkAll(history: readonly HistoryEvent[]): readonly Violation[] {
  return GUARANTEES.flatMap((guarantee) => guarantee.check(history));
}
