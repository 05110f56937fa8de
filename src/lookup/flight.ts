import type { Clock } from "../../kernel/clock.ts";

/** Keeps work alive after the answer has gone, as `waitUntil` of Workers does. */
export type Background = (work: Promise<unknown>) => void;

export interface Joined<T> {
  readonly promise: Promise<T>;
  /** By the monotonic clock. */
  readonly startedAt: number;
  /** Whether another call had started it. */
  readonly collapsed: boolean;
}

export interface Flights<T> {
  /** How many are under way, lost ones included until they are replaced. */
  size(): number;
  has(key: string): boolean;
  /** When what is under way for `key` began, monotonic. Whoever only asks this has nothing to keep alive. */
  startedAt(key: string): number | undefined;
  /** Joins what is under way for `key`. */
  join(key: string, background: Background): Joined<T> | undefined;
  /** Starts `load` for all of `keys`; undefined when `countMax` are under way. */
  start(keys: readonly string[], background: Background, load: () => Promise<T>): Joined<T> | undefined;
}

export interface FlightsOptions {
  readonly clock: Clock;
  /** The age past which a load counts as lost, and is replaced: at least what the load itself takes at most. */
  readonly ageMsMax: number;
  /** Loads under way at once. */
  readonly countMax: number;
}

interface Flight<T> {
  readonly startedAt: number;
  readonly promise: Promise<T>;
}

/**
 * One load in flight for the same thing, whatever the crowd. On Workers a promise belongs to the request that made it
 * and dies with its client, without settling. So the owner and everyone who joins keep it alive in the background,
 * every caller must race it against a timer of its own, and an entry too old to be alive is replaced.
 */
export function createFlights<T>({ clock, ageMsMax, countMax }: FlightsOptions): Flights<T> {
  const flights = new Map<string, Flight<T>>();

  function alive(key: string): Flight<T> | undefined {
    const flight = flights.get(key);
    if (flight && clock.monotonic() - flight.startedAt > ageMsMax) {
      flights.delete(key);
      return undefined;
    }
    return flight;
  }

  function dropLost(): void {
    for (const key of flights.keys()) alive(key);
  }

  return {
    size: () => flights.size,
    has: (key) => alive(key) !== undefined,
    startedAt: (key) => alive(key)?.startedAt,
    join(key, background) {
      const flight = alive(key);
      if (!flight) return undefined;
      keepAlive(flight.promise, background);
      return { ...flight, collapsed: true };
    },
    start(keys, background, load) {
      if (flights.size + keys.length > countMax) dropLost();
      if (flights.size + keys.length > countMax) return undefined;
      const startedAt = clock.monotonic();
      const promise = load().finally(() => {
        for (const key of keys) if (flights.get(key) === flight) flights.delete(key);
      });
      const flight: Flight<T> = { startedAt, promise };
      for (const key of keys) flights.set(key, flight);
      keepAlive(promise, background);
      return { ...flight, collapsed: false };
    },
  };
}

/** The failure reaches whoever waits; here it only must not count as unhandled. */
function keepAlive(promise: Promise<unknown>, background: Background): void {
  background(promise.then(ignore, ignore));
}

function ignore(): void {}
