import type { Source } from "../../contract/http.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { NamespaceState } from "../memory/namespace-state.ts";

/** How good an answer is, for its headers. */
export interface Provenance {
  readonly source: Source;
  /** Of the catalog of truth: how long ago the publisher is known to have been current. */
  readonly ageMs: number;
  readonly stale: boolean;
  /** RFC 9211, without the cache's name. */
  readonly cacheStatus: string;
}

export interface ProvenanceOptions {
  readonly state: NamespaceState;
  readonly clock: Clock;
  readonly swrMs: number;
  readonly staleAfterMs: number;
}

/**
 * What is told of an answer that was current at `currentAt` (monotonic); `since`: when the readings made for it began;
 * `confirmedAt`: of the head that it was current under, where that is not the held one.
 */
export type ProvenanceOf = (
  currentAt: number,
  source: Source,
  cacheStatus: string,
  since: number,
  confirmedAt?: number,
) => Provenance;

export function createProvenance({ state, clock, swrMs, staleAfterMs }: ProvenanceOptions): ProvenanceOf {
  const ageOf = (at: number) => clock.monotonic() - at;

  /** The wall clocks of two machines are compared here alone, and the time since this isolate saw it is a lower bound. */
  function toldAgeMs(currentAt: number, confirmedAt: number): number {
    const head = state.head();
    const unreadMs = Number.isFinite(currentAt) ? ageOf(currentAt) : 0;
    // A deep copy may be all there is.
    const unconfirmedMs = head
      ? Math.max(clock.now() - Math.min(head.confirmedAt, confirmedAt), ageOf(state.confirmationSeenAt()))
      : 0;
    return Math.max(0, Math.round(Math.max(unconfirmedMs, unreadMs)));
  }

  return (currentAt, source, cacheStatus, since, confirmedAt = Infinity) => {
    const unread = ageOf(currentAt) > swrMs && currentAt < since;
    const ageMs = toldAgeMs(currentAt, confirmedAt);
    return {
      source: unread ? "last-known-good" : source,
      ageMs,
      stale: unread || ageMs > staleAfterMs,
      cacheStatus: unread ? "hit; detail=last-known-good" : cacheStatus,
    };
  };
}
