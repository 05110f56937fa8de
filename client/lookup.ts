import type { ServiceAnswer, Source } from "../contract/http.ts";
import type { Version } from "../contract/version.ts";
import { ask, type Heard } from "./ask.ts";
import { ResolveError, type ResolveErrorCode } from "./errors.ts";
import { createFlights } from "./flight.ts";
import { createMemory, type Held } from "./memory.ts";
import type { Settings } from "./options.ts";

/** An answer, and how much it is worth. */
export interface Resolved extends ServiceAnswer {
  /** How long ago it was last known to be true, milliseconds. */
  readonly ageMs: number;
  /** Whether it is older than it should be, by the resolver's word or because no resolver could be asked. */
  readonly stale: boolean;
  /** Where the resolver had it from; `last-known-good` also when this client had to fall back on what it held. */
  readonly source: Source;
}

/** After a failure what is held is used without asking, for a while that doubles with each failure up to the cap. */
const PAUSE_BASE_MS = 1000;
const PAUSE_CAP_MS = 10_000;

/** Failures to get an answer. The others are answers, and what is held must not contradict them. */
const FALL_BACK_ON: readonly ResolveErrorCode[] = ["rate_limited", "timeout", "unavailable"];

/** Looks up paths made by `lookupPath`: from memory while fresh, else from the resolver, else what is still held. */
export function createLookup(settings: Settings): (path: string) => Promise<Resolved> {
  const { freshMs, timeoutMs, budgetMs, now, random } = settings;
  const memory = createMemory(settings.entriesMax);
  const flights = createFlights<Held>(settings);
  // Set when the resolver says that there were too many requests, which is about all of ours.
  let pausedUntil = -Infinity;

  async function load(path: string): Promise<Held> {
    const before = memory.get(path);
    try {
      const held = merge(await ask(settings, path, before?.etag), before, memory.get(path));
      memory.set(path, held);
      return held;
    } catch (error) {
      if (error instanceof ResolveError) remember(path, error);
      throw error;
    }
  }

  function merge(heard: Heard, before: Held | undefined, current = before): Held {
    const heardAt = now();
    const calm = { freshUntil: heardAt + freshMs, retryAt: -Infinity, failures: 0 };
    const { ageMs, stale, source, etag } = heard;
    const told = { ageMs, stale, source, etag, heardAt, ...calm };
    if (heard.type === "answer") {
      const { answer, characters } = heard;
      // Replicas and data centres lag. What is held keeps its age, and is asked about again after the usual time.
      if (current && isOlder(answer, current.answer)) return { ...current, ...calm };
      return { ...told, answer, characters };
    }
    if (!before || !current) throw new ResolveError("unavailable", "The resolver confirmed what was not asked about.");
    return current.etag === before.etag ? { ...current, ...told } : current;
  }

  function remember(path: string, { code, retryAfterMs = 0 }: ResolveError): void {
    if (code === "rate_limited") pausedUntil = now() + retryAfterMs;
    const held = memory.get(path);
    if (!held) return;
    if (!FALL_BACK_ON.includes(code)) {
      memory.delete(path);
      return;
    }
    const pauseMs = Math.min(PAUSE_BASE_MS * 2 ** held.failures, PAUSE_CAP_MS) * (0.5 + random() / 2);
    memory.set(path, { ...held, failures: held.failures + 1, retryAt: now() + Math.max(pauseMs, retryAfterMs) });
  }

  function tell(held: Held): Resolved {
    const age = { ageMs: Math.round(held.ageMs + now() - held.heardAt) };
    return { ...held.answer, ...age, stale: held.stale, source: held.source };
  }

  function tellLastKnownGood(held: Held): Resolved {
    return { ...tell(held), stale: true, source: "last-known-good" };
  }

  return async (path) => {
    const held = memory.get(path);
    if (held && now() < held.freshUntil) return tell(held);
    if (now() < pausedUntil) {
      if (held) return tellLastKnownGood(held);
      throw new ResolveError("rate_limited", "The resolver has asked for a pause.", {
        retryAfterMs: Math.ceil(pausedUntil - now()),
      });
    }
    if (held && now() < held.retryAt) return tellLastKnownGood(held);
    try {
      return tell(await flights.join(path, held ? budgetMs : timeoutMs, () => load(path)));
    } catch (error) {
      const latest = memory.get(path);
      if (!latest || !(error instanceof ResolveError) || !FALL_BACK_ON.includes(error.code)) throw error;
      if (now() < latest.freshUntil) return tell(latest);
      // The request may still be under way: until it must have ended, nobody else waits for it.
      if (now() >= latest.retryAt) memory.set(path, { ...latest, retryAt: now() + timeoutMs });
      return tellLastKnownGood(latest);
    }
  };
}

export function isOlder(a: Version, b: Version): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.revision < b.revision);
}
