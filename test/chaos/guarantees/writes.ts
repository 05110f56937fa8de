import type { At, WriteEvent } from "../history/event.ts";
import { mergeSpans, type Spans } from "./spans.ts";
import type { Chronicle, View } from "./view.ts";

/** `done`: etcd has it. `refused`: it never will. `unknown`: nobody can tell, also of later. */
export function outcomeOf({ status }: Pick<WriteEvent, "status">): "done" | "refused" | "unknown" {
  if (status === undefined || status >= 500) return "unknown";
  return status < 300 ? "done" : "refused";
}

/**
 * A time in which an instance was there: from the answer to its registration until somebody began to take it away, or it
 * crashed. Registering again in between changes nothing.
 */
export interface Presence {
  readonly from: At;
  readonly to: At;
  readonly registration: WriteEvent;
}

export function presencesOf({ truth, writes }: Chronicle): readonly Presence[] {
  const presences: Presence[] = [];
  const isUp = (at: At) => truth.findLast((event) => event.at <= at)?.change === "up";
  let over = -Infinity;
  for (const write of writes) {
    if (write.operation !== "register" || outcomeOf(write) !== "done" || write.to <= over || !isUp(write.from))
      continue;
    const crash = truth.find(({ at, change }) => change === "crashed" && at >= write.from)?.at ?? Infinity;
    const takenAway = writes.find(({ operation, to }) => operation !== "register" && to > write.from);
    over = Math.min(crash, takenAway?.from ?? Infinity);
    if (over > write.to) presences.push({ from: write.to, to: over, registration: write });
  }
  return presences;
}

/** When a service had an instance that was there, one or another of them. */
export function existenceOf(view: View, service: string): Spans {
  return mergeSpans([...(view.chronicles.get(service)?.values() ?? [])].flatMap(presencesOf));
}
