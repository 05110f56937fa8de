import type { Clock } from "../../kernel/clock.ts";
import { createBoundedMap } from "../memory/bounded-map.ts";
import type { NamespaceState } from "../memory/namespace-state.ts";

/** Services whose last load brought nothing current, remembered so that they are not asked for by every request. */
const ATTEMPTS_MAX = 2000;

export interface Attempt {
  /** When the load began, monotonic. */
  readonly at: number;
  /** Whether there was no such key, beside a head that told something. */
  readonly missing: boolean;
}

/**
 * Loads that brought nothing current; each counts for one fresh interval, or until the ring tells of a change since. A
 * tombstone that was missing does not come back, so that one counts for as long as the ring tells of the same end.
 */
export interface Attempts {
  get(service: string): Attempt | undefined;
  set(service: string, attempt: Attempt): void;
  delete(service: string): void;
}

export function createAttempts(state: NamespaceState, clock: Clock, freshMs: number): Attempts {
  /** `revision`: of the head that was held then. What changed later was not tried for yet. */
  const attempts = createBoundedMap<string, Attempt & { readonly revision: number }>({ entriesMax: ATTEMPTS_MAX });
  return {
    get(service) {
      const last = attempts.get(service);
      if (!last) return undefined;
      const [revision = 0, , change] = state.change(service) ?? [];
      if (revision > last.revision) return undefined;
      const ended = last.missing && change === "removed";
      return ended || clock.monotonic() - last.at < freshMs ? last : undefined;
    },
    set: (service, attempt) => attempts.set(service, { ...attempt, revision: state.head()?.revision ?? 0 }),
    delete: (service) => attempts.delete(service),
  };
}
