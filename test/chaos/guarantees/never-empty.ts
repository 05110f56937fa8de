import type { At, ReadEvent } from "../history/event.ts";
import { defineGuarantee } from "./define.ts";
import { calmFrom, mergeSpans, touching, type Spans } from "./spans.ts";
import { TO_EDGE_MS, troubleOf } from "./trouble.ts";
import type { View } from "./view.ts";
import { answer, reader, second } from "./words.ts";
import { presencesOf, type Presence } from "./writes.ts";

/** While this process stood still for so long, instances in it missed heartbeats: they were not healthy throughout. */
export const STALL_MS_MAX = 2000;
/** Until what missed its heartbeats is up again: a registration, and its way to the edge. */
export const AFTER_STALL_MS = 15_000;

interface Witness extends Presence {
  readonly instance: string;
  /** By resolver: from when on every answer must know it, whatever fails. */
  readonly knownFrom: Map<string, At>;
}

/** Of a service that answers, `suspect` is as good as healthy: it is served. */
const isServed = (status: string) => status === "up" || status === "suspect";

export function isEmpty({ status, instances }: ReadEvent): boolean {
  if (instances) return !Object.values(instances).some((one) => isServed(one.status));
  return status === 404;
}

export const neverEmpty = defineGuarantee(
  "never empty by accident",
  "a service with an instance that has been healthy throughout never resolves to none",
  (view, accuse) => {
    const witnesses = new Map<string, readonly Witness[]>();
    for (const [service, chronicles] of view.chronicles) {
      const own = [...chronicles.values()].flatMap((chronicle) =>
        presencesOf(chronicle).map((one) => ({
          ...one,
          instance: chronicle.instance,
          knownFrom: new Map<string, At>(),
        })),
      );
      witnesses.set(service, own);
    }
    const unhealthy = afterStalls(view);
    /** By who holds it, the first answer that had the instance, of each presence. */
    const seen = new Map<Witness, Map<string, ReadEvent>>();
    let judged = 0;
    for (const read of view.reads.toSorted((a, b) => a.from - b.from)) {
      const holder = holderOf(read);
      for (const witness of witnesses.get(read.service) ?? []) {
        if (read.from < witness.from || read.to > witness.to) continue;
        // What an event of a stream tells was sent before it came, nobody knows how long: time alone tells it to be wrong.
        const sight = read.by === "stream" ? undefined : seen.get(witness)?.get(holder);
        const isKnown = read.from > knownFrom(view, witness, read.resolver);
        if (isKnown || (sight && sight.to < read.from)) {
          judged++;
          if (isEmpty(read) && !touching(unhealthy, read.from, read.to)) {
            const { registration, instance } = witness;
            accuse(
              `${reader(read)} was told ${answer(read)} of ${read.service} at ${second(read.to)}, whose ${instance} ` +
                `has been up and registered since ${second(registration.to)}.`,
              [registration, ...(sight && !isKnown ? [sight] : []), read],
            );
            break;
          }
        }
        const told = read.instances?.[witness.instance];
        // What it was registered as before may still be shown, and says nothing of this registration.
        if (!told || !isServed(told.status) || told.generation < witness.registration.generation) continue;
        const earliest = seen.get(witness)?.get(holder);
        if (earliest && earliest.to <= read.to) continue;
        seen.set(witness, (seen.get(witness) ?? new Map<string, ReadEvent>()).set(holder, read));
      }
    }
    return judged;
  },
);

/** Whoever has shown an instance holds it: an isolate for all who ask it, a client for itself. */
function holderOf({ by, reader: name, resolver, life }: ReadEvent): string {
  return by === "client" ? name : `${resolver} ${life}`;
}

/** Its registration has had a stretch of time without trouble to get everywhere, also into a replica. */
function knownFrom(view: View, witness: Witness, resolver: string): At {
  const known = witness.knownFrom.get(resolver) ?? calmFrom(troubleOf(view, resolver), witness.from, TO_EDGE_MS);
  witness.knownFrom.set(resolver, known);
  return known;
}

function afterStalls({ stalls }: View): Spans {
  return mergeSpans(
    stalls
      .filter(({ from, to }) => to - from >= STALL_MS_MAX)
      .map(({ from, to }) => ({ from, to: to + AFTER_STALL_MS })),
  );
}
