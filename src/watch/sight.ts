import type { Random } from "../../kernel/random.ts";
import type { Background } from "../lookup/flight.ts";
import type { Lookup, Lookups } from "../lookup/lookups.ts";

/**
 * The part of the fresh interval over which the looks of all watchers spread. They come due together, with the next
 * reading: the first one begins it, and the later ones find what it brought. Lower: looks pile up. Higher: changes show
 * later.
 */
const SPREAD = 0.25;
/** How soon a watcher looks again for the reading that was not done when it looked; doubles up to the fresh interval. */
const FOLLOW_MS = 50;
/** Between two looks at least, however short the fresh interval, and at most, however long. */
export const LOOK_MS_MIN = 50;
export const LOOK_MS_MAX = 5000;

/** How one watcher sees a service: by looking at what the isolate holds, on a timer of its own. */
export interface Sight {
  /** Undefined when there is nothing new to see yet. */
  readonly look: () => Lookup | Promise<Lookup> | undefined;
  /** Milliseconds until it is worth looking again. */
  readonly nextMs: () => number;
}

export interface SightOptions {
  readonly lookups: Lookups;
  readonly service: string;
  readonly background: Background;
  readonly freshMs: number;
  readonly random: Random;
}

/** Nothing wakes a watcher: on Workers one request cannot wake another. A look that finds nothing new costs a map look-up. */
export function createSight({ lookups, service, background, freshMs, random }: SightOptions): Sight {
  let follows = 0;

  function unbounded(): number {
    const dueMs = lookups.dueMs(service);
    if (dueMs > 0) {
      follows = 0;
      return dueMs + random() * SPREAD * freshMs;
    }
    const followMs = Math.min(FOLLOW_MS * 2 ** follows, Math.max(freshMs, LOOK_MS_MIN));
    follows++;
    return followMs * (1 + random() * SPREAD);
  }

  return {
    look: () => lookups.glance(service, background),
    nextMs: () => Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, unbounded())),
  };
}
