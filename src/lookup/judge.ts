import type { Clock } from "../../kernel/clock.ts";
import type { Entry, NamespaceState } from "../memory/namespace-state.ts";
import { createTokenBucket } from "../token-bucket.ts";
import type { Loader } from "./loader.ts";

/** Loads of services not known to exist, at once. Past them the catalog is read first, so that names made up cost nothing. */
const SPECULATIVE_MAX = 8;
/** The same in all, where the catalog cannot be had: names made up would cost a command each, one after another. */
const SPECULATIVE_PER_SECOND = 10;
const SPECULATIVE_BURST = 100;

/** The reading that would tell more. */
export type Step = "refresh" | "load" | "catalog";
/** What memory says of a service: an answer, or what must be read for one. */
export type Verdict = { readonly type: "serve"; readonly entry: Entry } | { readonly type: "unknown" } | Step;

export interface Judge {
  /**
   * A reading no older than `since` is as good as any that could still be made for this lookup; one older than `notBefore`
   * is not what it asked for.
   */
  readonly judge: (service: string, since: number, notBefore?: number) => Verdict;
  /** Whether it is the tombstone of a service, and its time is over. */
  readonly ended: (entry: Entry) => boolean;
}

export interface JudgeOptions {
  readonly state: NamespaceState;
  readonly loader: Loader;
  readonly clock: Clock;
  readonly freshMs: number;
  readonly swrMs: number;
}

/** Says whether a service is there, is not, or must be read: the one place where absence is told. */
export function createJudge({ state, loader, clock, freshMs, swrMs }: JudgeOptions): Judge {
  const speculations = createTokenBucket({
    clock,
    ratePerSecond: SPECULATIVE_PER_SECOND,
    burst: SPECULATIVE_BURST,
  });

  const ageOf = (at: number) => clock.monotonic() - at;

  function judge(service: string, since: number, notBefore = -Infinity): Verdict {
    const entry = state.entry(service);
    const over = entry !== undefined && ended(entry);
    // An answer may be a little old, but that there is none must not be: a client that has just registered would see it.
    const ageMsMax = over ? freshMs : swrMs;
    const enough = (at: number) => at >= notBefore && (ageOf(at) <= ageMsMax || at >= since);
    if (entry && enough(state.currentAt(entry))) return over ? { type: "unknown" } : { type: "serve", entry };
    if (entry?.standing.type === "current") return "refresh";
    const absent = isAbsent(service);
    if (entry && !loader.missing(service)) return "load";
    if (absent === undefined) return loader.missing(service) || !maySpeculate(service) ? "catalog" : "load";
    if (!absent) return "load";
    if (ageOf(state.readAt()) > freshMs && state.readAt() < since) return "refresh";
    state.drop(service);
    return { type: "unknown" };
  }

  /** Whether the ring, or else the catalog, says that there is no such service; undefined when neither can tell. */
  function isAbsent(service: string): boolean | undefined {
    if (!state.head()) return undefined;
    const change = state.change(service)?.[2];
    if (change === "added") return false;
    // Its tombstone answers until its time has come; a tombstone that is no longer stored has had its time.
    if (change === "removed") return loader.missing(service);
    const known = state.names.has(service);
    return known === undefined ? undefined : !known;
  }

  function ended({ held, standing }: Entry): boolean {
    const { tombstoneUntil } = held.snapshot;
    return tombstoneUntil !== undefined && standing.type === "current" && clock.now() > tombstoneUntil;
  }

  function maySpeculate(service: string): boolean {
    return loader.loading(service) || (loader.size() < SPECULATIVE_MAX && speculations.take());
  }

  return { judge, ended };
}
