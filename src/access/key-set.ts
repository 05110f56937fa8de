import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { createFlights, type Background } from "../lookup/flight.ts";
import type { ResolverLog } from "../log.ts";
import { chooseKey, parseKeySet, type KeyQuery, type PublicKey } from "./jwk.ts";

/** Up to this age keys are used as they are; up to the next they are used while they are read again behind. */
const FRESH_MS = 5 * 60_000;
/** Past it they are read first: while the issuer answers, a key that it has withdrawn is taken no longer than this. */
const SWR_MS = 10 * 60_000;
/** How long the last keys are good for while the issuer does not answer: about as long as the tokens live that it issued. */
const LAST_KNOWN_GOOD_MS = 60 * 60_000;
/** Between two readings for keys that are not held: key ids made up are no lever against the issuer. */
const UNKNOWN_MS_MIN = 30_000;
/** How long the issuer is left alone after a failure. */
const RETRY_MS = 5000;
/** What one reading may take. */
export const READ_MS_MAX = 2000;

/** Reads the text of the issuer's key set. Rejects with a FingerpostError, which names no address. */
export type KeySource = () => Promise<string>;

/** The public keys of an issuer, kept up to date. */
export interface KeySet {
  /**
   * The key that verifies such a token; undefined when the issuer has none. Throws `unavailable` when that cannot be
   * told for the moment.
   */
  find(query: KeyQuery, background: Background): Promise<PublicKey | undefined>;
}

export interface KeySetOptions {
  readonly read: KeySource;
  readonly clock: Clock;
  readonly log: ResolverLog;
}

interface Held {
  readonly keys: readonly PublicKey[];
  /** By the monotonic clock: when their reading began. */
  readonly readAt: number;
}

export function createKeySet({ read, clock, log }: KeySetOptions): KeySet {
  let held: Held | undefined;
  let startedAt = -Infinity;
  /** When the last reading failed; undefined once one succeeds. */
  let failedAt: number | undefined;
  const flights = createFlights<void>({ clock, ageMsMax: READ_MS_MAX, countMax: 1 });

  async function load(): Promise<void> {
    const readAt = clock.monotonic();
    startedAt = readAt;
    try {
      const keys = parseKeySet(await read());
      // A reading that was lost, and replaced, may still arrive.
      if (held && held.readAt > readAt) return;
      held = { keys, readAt };
      if (failedAt !== undefined) log.info({}, "the issuer's keys can be read again");
      failedAt = undefined;
    } catch (error) {
      failed(error instanceof FingerpostError ? error.message : "It is no JSON Web Key Set.");
    }
  }

  function failed(reason: string): void {
    if (failedAt === undefined) log.warn({ reason }, "the issuer's keys cannot be read: the last ones are used on");
    failedAt = clock.monotonic();
  }

  /** Starts a reading, or joins the one under way; undefined while the issuer is left alone after a failure. */
  function refresh(background: Background): Promise<void> | undefined {
    const joined = flights.join("keys", background);
    if (joined) return joined.promise;
    if (failedAt !== undefined && clock.monotonic() - failedAt < RETRY_MS) return undefined;
    return flights.start(["keys"], background, load)?.promise;
  }

  async function refreshed(background: Background): Promise<void> {
    const reading = refresh(background);
    if (!reading) return;
    try {
      await within(clock, READ_MS_MAX, "reading the issuer's keys", reading);
    } catch {
      // Whatever became of the reading: a promise of another request may never settle.
      failed("They did not come in time.");
    }
  }

  /** The last keys, while they are good. */
  function usable(): Held | undefined {
    return held && ageOf(held) <= LAST_KNOWN_GOOD_MS ? held : undefined;
  }

  function ageOf({ readAt }: Held): number {
    return clock.monotonic() - readAt;
  }

  function choose(query: KeyQuery): PublicKey | undefined {
    return chooseKey(usable()?.keys ?? [], query);
  }

  return {
    async find(query, background) {
      const last = usable();
      const age = last ? ageOf(last) : Infinity;
      // While the issuer is known to fail nobody waits for it again who has keys to fall back on.
      if (!last || (age > SWR_MS && failedAt === undefined)) await refreshed(background);
      else if (age > FRESH_MS) void refresh(background);
      const known = choose(query);
      if (known) return known;
      if (clock.monotonic() - startedAt >= UNKNOWN_MS_MIN) await refreshed(background);
      const found = choose(query);
      if (!found && (!usable() || failedAt !== undefined)) throw unreadable();
      return found;
    },
  };
}

/** Not a refusal: the token may be good. */
function unreadable(): FingerpostError {
  return new FingerpostError("unavailable", "The keys of the token's issuer cannot be read for the moment.", {
    retryAfterSeconds: RETRY_MS / 1000,
  });
}
