import type { At, InstanceEvent, WriteEvent } from "../history/event.ts";
import type { Chronicle } from "./view.ts";
import { outcomeOf } from "./writes.ts";

/** From when on an instance is gone on purpose, or for being dead, until anybody tries to have it back. */
export type Departure =
  | { readonly type: "deregistered"; readonly event: WriteEvent; readonly at: At; readonly until: At }
  | { readonly type: "crashed"; readonly event: InstanceEvent; readonly at: At; readonly until: At };

/** In their order. */
export function departuresOf({ truth, writes }: Chronicle): readonly Departure[] {
  const registers = writes.filter(({ operation }) => operation === "register");
  const departures: Departure[] = [];
  for (const event of writes) {
    if (event.operation !== "deregister" || outcomeOf(event) !== "done") continue;
    const until = registers.find(({ to }) => to > event.from)?.from ?? Infinity;
    if (until > event.to) departures.push({ type: "deregistered", event, at: event.to, until });
  }
  for (const event of truth) {
    if (event.change !== "crashed") continue;
    const back = truth.find(({ at, change }) => at > event.at && change === "up")?.at ?? Infinity;
    const until = Math.min(back, registers.find(({ from }) => from > event.at)?.from ?? Infinity);
    departures.push({ type: "crashed", event, at: event.at, until });
  }
  return departures.toSorted((a, b) => a.at - b.at);
}
