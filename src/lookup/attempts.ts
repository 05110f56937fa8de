import { compareVersions, type Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import { createBoundedMap } from "../memory/bounded-map.ts";
import type { NamespaceState } from "../memory/namespace-state.ts";

/** Services whose last load brought nothing current, remembered so that they are not asked for by every request. */
const ATTEMPTS_MAX = 2000;
/** The longest that a missing key counts for. A publisher that finds one missing writes it as a change, which the ring tells. */
const MISSING_MS_MAX = 30_000;

export interface Attempt {
  /** When the load began, monotonic. */
  readonly at: number;
  /** Whether there was no such key, beside a head that told something. */
  readonly missing: boolean;
}

/**
 * Loads that brought nothing current; each counts for one fresh interval, and for twice as long with every further time
 * that the key is missing; or until the ring tells of a change since, or no longer reaches back so far. A tombstone that was
 * missing does not come back, so that one counts for as long as the ring tells of the same end.
 */
export interface Attempts {
  get(service: string): Attempt | undefined;
  /** `beside`: the head that was read with it. One that lags says nothing of how long a key will be missing. */
  set(service: string, attempt: Attempt, beside: Version): void;
  delete(service: string): void;
}

interface Remembered extends Attempt {
  /** Of the head that was held then. What changed later was not tried for yet. */
  readonly tried: Version;
  readonly pauseMs: number;
}

export function createAttempts(state: NamespaceState, clock: Clock, freshMs: number): Attempts {
  const attempts = createBoundedMap<string, Remembered>({ entriesMax: ATTEMPTS_MAX });

  /** Undefined where the head says, or leaves open, that something has changed since. */
  function unchanged(service: string): Remembered | undefined {
    const last = attempts.get(service);
    const head = state.head();
    if (!last || !head || head.epoch !== last.tried.epoch || head.ring.floor > last.tried.revision) return undefined;
    const [revision = 0] = state.change(service) ?? [];
    return revision > last.tried.revision ? undefined : last;
  }

  return {
    get(service) {
      const last = unchanged(service);
      if (!last) return undefined;
      const ended = last.missing && state.change(service)?.[2] === "removed";
      return ended || clock.monotonic() - last.at < last.pauseMs ? last : undefined;
    },
    set(service, attempt, beside) {
      const last = unchanged(service);
      const { epoch, revision } = state.head() ?? beside;
      const again = attempt.missing && last?.missing && compareVersions(beside, { epoch, revision }) >= 0;
      const pauseMs = again ? Math.max(freshMs, Math.min(MISSING_MS_MAX, 2 * last.pauseMs)) : freshMs;
      attempts.set(service, { ...attempt, tried: { epoch, revision }, pauseMs });
    },
    delete: (service) => attempts.delete(service),
  };
}
