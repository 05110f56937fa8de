import type { At, ReadEvent, RunSettings } from "../history/event.ts";
import { defineGuarantee } from "./define.ts";
import { departuresOf, type Departure } from "./departures.ts";
import { calmFrom, touching } from "./spans.ts";
import { anyTrouble, mayHaveForgotten, TO_EDGE_MS, troubleOf } from "./trouble.ts";
import type { View } from "./view.ts";
import { reader, second } from "./words.ts";

/** Rounds of refused probes that end the hold of a service's last instance; of others it takes half. */
const PROBE_ROUNDS = 4;
/** From one round to the next at most: the time between them and half of it, and as long as a round takes. */
const roundMs = ({ probeSeconds }: RunSettings) => probeSeconds * 1500 + 2000;
/** Of the instances of a run: their TTLs, or the failures of their checks in a row, are shorter. */
export const INSTANCE_TTL_MS_MAX = 10_000;
/** A registration that was under way when the instance crashed may still be carried out: an agent tries for 8 s. */
export const WRITE_MS_MAX = 10_000;
/** How long a draining instance stays. */
export const DRAIN_MS = 30_000;

/** Of a lease that nobody renews: granted for twice its TTL while etcd was slow, and given it anew by a new leader. */
export const leaseEndMs = ({ leaseTtlSeconds }: RunSettings) => leaseTtlSeconds * 3000;
/** After it would have gone, had it not been held. */
export const heldMs = (settings: RunSettings) => PROBE_ROUNDS * roundMs(settings) + TO_EDGE_MS;
export const crashMs = (settings: RunSettings) =>
  WRITE_MS_MAX + Math.max(INSTANCE_TTL_MS_MAX, leaseEndMs(settings)) + TO_EDGE_MS;

/** A client whose process stood still has met a timeout, and asks nobody for as long as this. */
export const CLIENT_PAUSE_MS = 10_000;

interface Ghost {
  readonly departure: Departure;
  /** By resolver and status: from when on no answer may have it. */
  readonly goneFrom: Map<string, At>;
}

export const noGhosts = defineGuarantee(
  "no ghosts",
  "what was deregistered is gone within a bound once the parts are reachable, what crashed within that of its lease or hold",
  (view, accuse) => {
    const ghosts = new Map<string, ReadonlyMap<string, readonly Ghost[]>>();
    for (const [service, chronicles] of view.chronicles) {
      const own = [...chronicles].map(([instance, chronicle]) => {
        const departures = departuresOf(chronicle).map((departure) => ({ departure, goneFrom: new Map<string, At>() }));
        return [instance, departures] as const;
      });
      ghosts.set(service, new Map(own));
    }
    let judged = 0;
    for (const read of view.reads) {
      if (read.by === "client" && touching(view.stalls, read.from - CLIENT_PAUSE_MS, read.to)) continue;
      for (const [instance, departed] of ghosts.get(read.service) ?? []) {
        const ghost = departed.findLast(({ departure: { at } }) => at < read.from);
        if (!ghost || read.to >= ghost.departure.until || !read.instances) continue;
        const status = read.instances[instance]?.status;
        if (read.from <= goneFrom(view, ghost, read, status ?? "up")) continue;
        judged++;
        if (status === undefined || (status === "down" && ghost.departure.type === "crashed")) continue;
        const { type, at, event } = ghost.departure;
        accuse(
          `${reader(read)} was told of ${instance} of ${read.service} as ${status} at ${second(read.to)}; it ` +
            `${type === "crashed" ? "crashed" : "was deregistered"} at ${second(at)}, and must have been gone since ` +
            `${second(goneFrom(view, ghost, read, status))}.`,
          [event, read],
        );
      }
    }
    return judged;
  },
);

function goneFrom(view: View, { departure, goneFrom: known }: Ghost, read: ReadEvent, status: string): At {
  const key = `${read.resolver} ${status}`;
  const from = known.get(key) ?? calculate(view, departure, read.resolver, status);
  known.set(key, from);
  return from;
}

function calculate(view: View, departure: Departure, resolver: string, status: string): At {
  return Math.min(inTime(view, departure, resolver, status), agreedGone(view, departure) + TO_EDGE_MS);
}

/** When nobody had it any more at the last look at who has what: what all have let go is not to come back by itself. */
function agreedGone({ states }: View, departure: Departure): At {
  const { service, instance } = departure.event;
  const latest = [...new Map(states.map((state) => [state.of, state])).values()];
  const begunMs = departure.at + (departure.type === "crashed" ? WRITE_MS_MAX : 0);
  if (latest.length === 0 || latest.some(({ at }) => at <= begunMs || at >= departure.until)) return Infinity;
  const has = (text: string | undefined) => text?.includes(JSON.stringify(instance)) === true;
  return latest.some(({ services }) => has(services[service])) ? Infinity : Math.max(...latest.map(({ at }) => at));
}

function inTime(view: View, departure: Departure, resolver: string, status: string): At {
  const { settings } = view;
  const holdMs = status === "suspect" ? heldMs(settings) : 0;
  if (departure.type === "crashed") {
    const drainMs = status === "draining" ? DRAIN_MS : 0;
    return calmFrom(anyTrouble(view), departure.at, crashMs(settings) + drainMs + holdMs);
  }
  // Who has forgotten an instance has nothing to remove: its lease does.
  const leaseMs = mayHaveForgotten(view, departure.event.agent, departure.at) ? leaseEndMs(settings) : 0;
  return calmFrom(troubleOf(view, resolver), departure.at, TO_EDGE_MS + leaseMs + holdMs);
}
