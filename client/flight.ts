import { ResolveError } from "./errors.ts";
import type { Settings } from "./options.ts";

/** Requests under way that others may join. More than that are made, but each for its own caller. */
const FLIGHTS_MAX = 1000;
/** Beyond the timeout of the request itself, so that its own error is heard and not this one. */
const GRACE_MS = 50;

interface Flight<T> {
  readonly startedAt: number;
  readonly promise: Promise<T>;
}

export interface Flights<T> {
  /**
   * Waits for the load of `key` that is under way, or starts one, for `waitMs` at most; then throws `timeout`, and the
   * load goes on.
   */
  join(key: string, waitMs: number, load: () => Promise<T>): Promise<T>;
}

/**
 * One load for the same key, whatever the crowd. On Workers a promise ends, without settling, with the request that
 * made it: so each caller keeps it alive, races it against a timer of its own, and an entry that is too old to be
 * alive is replaced.
 */
export function createFlights<T>({ timeoutMs, now, sharing, waitUntil }: Settings): Flights<T> {
  const flights = new Map<string, Flight<T>>();

  function start(key: string, load: () => Promise<T>): Promise<T> {
    const promise = load().finally(() => {
      if (flights.get(key)?.promise === promise) flights.delete(key);
    });
    if (sharing && flights.size >= FLIGHTS_MAX) dropLost();
    if (sharing && flights.size < FLIGHTS_MAX) flights.set(key, { startedAt: now(), promise });
    return promise;
  }

  const isLost = ({ startedAt }: Flight<T>) => now() - startedAt > timeoutMs + GRACE_MS;

  function dropLost(): void {
    for (const [key, flight] of flights) if (isLost(flight)) flights.delete(key);
  }

  return {
    async join(key, waitMs, load) {
      const flight = flights.get(key);
      const promise = flight && !isLost(flight) ? flight.promise : start(key, load);
      // A failure reaches whoever waits; a caller that has stopped waiting must not make it unhandled.
      waitUntil(promise.then(ignore, ignore));
      return await withTimer(promise, waitMs + GRACE_MS);
    },
  };
}

async function withTimer<T>(promise: Promise<T>, waitMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const elapsed = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new ResolveError("timeout", `The resolver did not answer within ${waitMs} ms.`));
    }, waitMs);
  });
  try {
    return await Promise.race([promise, elapsed]);
  } finally {
    clearTimeout(timer);
  }
}

function ignore(): void {}
