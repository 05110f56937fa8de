import type { Head } from "../../contract/head.ts";
import type { Source } from "../../contract/http.ts";
import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import type { Breaker } from "./breaker.ts";
import type { Background, Joined } from "./flight.ts";
import type { Held } from "../memory/held.ts";
import type { NamedCount } from "../memory/known-names.ts";
import { LOAD_SERVICES_MAX, type Loaded, type Loader } from "./loader.ts";
import type { Entry, NamespaceState } from "../memory/namespace-state.ts";
import { createJudge, type Step } from "./judge.ts";
import { createProvenance, type Provenance } from "./provenance.ts";

/**
 * Readings one lookup waits for: the colo cache, a head or a snapshot, a catalog, the snapshot that it names, and as many
 * again that had begun for others and did not bring what this one needs. Its budget is the nearer bound.
 */
const STEPS_MAX = 8;

/** `unknown`: a complete head and a catalog say that there is no such service. `nothing`: nothing is known of it. */
export type Lookup =
  | ({ readonly type: "found"; readonly held: Held } & Provenance)
  | { readonly type: "unknown" }
  | { readonly type: "nothing" };

export type Listing =
  | ({ readonly type: "found"; readonly head: Head; readonly names: readonly NamedCount[] } & Provenance)
  | { readonly type: "nothing" };

/** What a lookup may take, in milliseconds. */
export interface Freshness {
  /** Up to this age of the last reading an answer is served as it is. Lower: more readings. */
  readonly freshMs: number;
  /** Up to this age it is served while it is read again behind. */
  readonly swrMs: number;
  /** How long a lookup that holds something older waits for Redis. */
  readonly budgetMs: number;
  /** How long one that holds nothing does. */
  readonly coldBudgetMs: number;
  /** Past this age of the publisher's confirmation every answer is marked stale, though Redis is well. */
  readonly staleAfterMs: number;
}

export interface Lookups {
  /** Answers at once from memory where it may. Never rejects. */
  lookup(service: string, background: Background): Lookup | Promise<Lookup>;
  /**
   * For a watcher, who looks again and again: the same, but undefined while a reading is under way and what is held may be
   * served. A thousand who joined that reading would cost more than it does.
   */
  glance(service: string, background: Background): Lookup | Promise<Lookup> | undefined;
  /** Milliseconds until a glance will begin a reading; 0 or less when one is due, under way, or not to be had. */
  dueMs(service: string): number;
  /** Several at the cost of one reading. */
  lookupAll(services: readonly string[], background: Background): Promise<readonly Lookup[]>;
  list(background: Background): Promise<Listing>;
  /** Whether a complete head is known; reads it once if not. */
  ready(background: Background): Promise<boolean>;
  /**
   * For one request that asks not to be answered from a cache: the same, from a reading that began after this call. Where
   * that failed, took too long or was asked for too often, what is held is served as always, and Cache-Status says so.
   */
  revalidated(background: Background): Lookups;
}

export interface LookupsOptions extends Freshness {
  readonly state: NamespaceState;
  readonly loader: Loader;
  readonly breaker: Breaker;
  readonly clock: Clock;
}

/** How the reading that a request asked for went. */
type Revalidation =
  | { readonly type: "read"; readonly startedAt: number; readonly collapsed: boolean }
  | { readonly type: "failed" | "limited" };

/** The levels in their order: memory, colo cache, Redis, last-known-good. */
export function createLookups(options: LookupsOptions): Lookups {
  const { state, loader, breaker, clock, freshMs, swrMs, budgetMs, coldBudgetMs } = options;
  const { judge, ended } = createJudge(options);
  const provenance = createProvenance(options);

  const ageOf = (at: number) => clock.monotonic() - at;

  function begin(step: Step, service: string, background: Background): Joined<Loaded> | undefined {
    if (step === "refresh") return loader.refresh(background, true);
    if (step === "catalog") return loader.loadCatalog(background);
    return loader.load([service], background);
  }

  /** Undefined when it failed or took too long: what is held is then all there is. */
  async function wait({ promise }: Joined<Loaded>, remainingMs: number): Promise<Loaded | undefined> {
    if (remainingMs <= 0) return undefined;
    // The failure has been counted and told where it was met.
    return within(clock, remainingMs, "a reading", promise).catch(() => undefined);
  }

  async function lookupSlowly(
    service: string,
    background: Background,
    startedAt = clock.monotonic(),
    notBefore = -Infinity,
  ): Promise<Lookup> {
    let cacheStatus = state.entry(service) ? "fwd=stale" : "fwd=miss";
    let since = Infinity;
    let from: Source = "memory";
    let shared: Joined<Loaded> | undefined;
    for (let step = 0; step < STEPS_MAX; step++) {
      const verdict = judge(service, since, notBefore);
      if (typeof verdict === "object") {
        return verdict.type === "serve" ? found(verdict.entry, from, cacheStatus, since) : verdict;
      }
      const cold = state.entry(service) === undefined;
      // What is being read from Redis is not looked for elsewhere: each of many would be a request of its own.
      const looks = verdict === "load" && cold && !shared && !loader.loading(service);
      const colo = looks ? loader.loadColo([service], background) : undefined;
      shared ??= colo;
      const joined = colo ?? begin(verdict, service, background);
      // While Redis is down nobody waits for the probe who has something to fall back on.
      if (!joined || (!cold && !breaker.closed())) break;
      const loaded = await wait(joined, deadlineOf(joined, cold, startedAt) - clock.monotonic());
      if (!loaded) break;
      since = Math.min(since, joined.startedAt, loaded.headReadAt ?? Infinity);
      from = loaded.from;
      if (joined.collapsed && !cacheStatus.endsWith("collapsed")) cacheStatus += "; collapsed";
      const unkept = loaded.entries.get(service);
      if (unkept && !state.entry(service)) return found(unkept, from, cacheStatus, since);
    }
    const entry = state.entry(service);
    return entry ? found(entry, from, cacheStatus, since) : lookupDeep(service, background, startedAt, since);
  }

  /** What is left where nothing is held and Redis told nothing. */
  async function lookupDeep(
    service: string,
    background: Background,
    startedAt: number,
    since: number,
  ): Promise<Lookup> {
    const joined = loader.loadDeep([service], background);
    const loaded = joined && (await wait(joined, startedAt + coldBudgetMs - clock.monotonic()));
    const entry = state.entry(service) ?? loaded?.entries.get(service);
    return entry ? found(entry, "last-known-good", "hit; detail=last-known-good", since) : { type: "nothing" };
  }

  /** A crowd that holds something waits for one slow reading once: the budget counts from where that began. */
  function deadlineOf(joined: Joined<Loaded>, cold: boolean, startedAt: number): number {
    // The deep store, which is asked last, needs its part.
    if (cold) return startedAt + Math.max(coldBudgetMs / 2, coldBudgetMs - loader.deepBudgetMs());
    return Math.min(startedAt, joined.startedAt) + budgetMs;
  }

  function found(entry: Entry, source: Source, cacheStatus: string, since: number): Lookup {
    const told = provenance(state.currentAt(entry), source, cacheStatus, since, state.confirmedAt(entry));
    return { type: "found", held: entry.held, ...told };
  }

  function lookup(service: string, background: Background, startedAt?: number): Lookup | Promise<Lookup> {
    const entry = state.entry(service);
    if (!entry || ended(entry)) return lookupSlowly(service, background, startedAt);
    const age = ageOf(state.currentAt(entry));
    if (age <= freshMs) return found(entry, "memory", "hit", Infinity);
    // Whoever began a reading keeps it alive: it costs nothing to those who do not wait for it.
    const since = loader.readingSince(service);
    if (age > swrMs && breaker.closed() && (since === undefined || ageOf(since) < budgetMs)) {
      return lookupSlowly(service, background, startedAt);
    }
    if (since !== undefined) return found(entry, "memory", "hit; detail=revalidating", Infinity);
    const current = entry.standing.type === "current";
    const begun = current ? loader.refresh(background, false) : loader.load([service], background);
    return found(entry, "memory", begun ? "hit; detail=revalidating" : "hit", Infinity);
  }

  /**
   * Who comes while such a reading is under way waits for its end, and then for the next one, which all of them share:
   * the first may have passed what they want to see.
   */
  async function revalidate(startedAt: number, background: Background): Promise<Revalidation> {
    const cold = state.head() === undefined;
    const failed: Revalidation = { type: "failed" };
    const read = async (joined: Joined<Loaded>) =>
      wait(joined, deadlineOf(joined, cold, startedAt) - clock.monotonic());
    const earlier = loader.revalidating(background);
    if (earlier && (await read(earlier)) === undefined) return failed;
    const joined = loader.revalidate(background);
    if (joined === "limited") return { type: "limited" };
    if (!joined || (!cold && !breaker.closed())) return failed;
    if ((await read(joined)) === undefined || state.readAt() < joined.startedAt) return failed;
    return { type: "read", startedAt: joined.startedAt, collapsed: earlier !== undefined || joined.collapsed };
  }

  function revalidated(background: Background): Lookups {
    const startedAt = clock.monotonic();
    let begun: Promise<Revalidation> | undefined;
    const revalidation = () => (begun ??= revalidate(startedAt, background));

    function told<T extends Lookup | Listing>(result: T, { type }: Revalidation, collapsed = false): T {
      if (result.type !== "found" || result.source !== "memory") return result;
      if (type !== "read") return { ...result, cacheStatus: `hit; detail=revalidation-${type}` };
      return { ...result, source: "redis", cacheStatus: `fwd=request${collapsed ? "; collapsed" : ""}` };
    }

    async function lookupAgain(service: string): Promise<Lookup> {
      const outcome = await revalidation();
      if (outcome.type !== "read") return told(await lookup(service, background, startedAt), outcome);
      const entry = state.entry(service);
      if (!entry || ended(entry) || state.currentAt(entry) < outcome.startedAt) {
        return lookupSlowly(service, background, startedAt, outcome.startedAt);
      }
      return told(found(entry, "memory", "", Infinity), outcome, outcome.collapsed);
    }

    return {
      lookup: lookupAgain,
      glance,
      dueMs,
      lookupAll: (services) => lookupEach(services, background, lookupAgain, revalidation()),
      async list() {
        const outcome = await revalidation();
        return told(await list(background), outcome, outcome.type === "read" && outcome.collapsed);
      },
      ready,
      revalidated,
    };
  }

  function glance(service: string, background: Background): Lookup | Promise<Lookup> | undefined {
    const entry = loader.refreshing() ? state.entry(service) : undefined;
    return entry && ageOf(state.currentAt(entry)) <= swrMs ? undefined : lookup(service, background);
  }

  function dueMs(service: string): number {
    const entry = state.entry(service);
    if (!entry || entry.standing.type === "current") return loader.refreshDueMs();
    return freshMs - ageOf(state.currentAt(entry));
  }

  async function lookupEach(
    services: readonly string[],
    background: Background,
    one: (service: string) => Lookup | Promise<Lookup>,
    first?: Promise<unknown>,
  ): Promise<readonly Lookup[]> {
    await first;
    const toLoad = () => services.filter((service) => judge(service, Infinity) === "load" && !loader.loading(service));
    const cold = toLoad().filter((service) => !state.entry(service));
    const colo = cold.length > 1 ? loader.loadColo(cold, background) : undefined;
    if (colo) await wait(colo, budgetMs);
    const batch = toLoad();
    for (let start = 0; start < batch.length; start += LOAD_SERVICES_MAX) {
      loader.load(batch.slice(start, start + LOAD_SERVICES_MAX), background);
    }
    return Promise.all(services.map(async (service) => one(service)));
  }

  async function list(background: Background): Promise<Listing> {
    const startedAt = clock.monotonic();
    const cold = !state.names.held();
    let since = Infinity;
    let from: Source = "memory";
    for (let step = 0; step < STEPS_MAX; step++) {
      const head = state.head();
      const read = ageOf(state.readAt()) <= swrMs || state.readAt() >= since;
      if (head && read && state.names.countsCurrent(head)) break;
      const joined =
        head && !read && state.names.held() ? loader.refresh(background, true) : loader.loadCatalog(background);
      if (!joined || (!cold && !breaker.closed())) break;
      const loaded = await wait(joined, deadlineOf(joined, cold, startedAt) - clock.monotonic());
      if (!loaded) break;
      since = Math.min(since, joined.startedAt, loaded.headReadAt ?? Infinity);
      from = loaded.from;
    }
    if (!state.head() || !state.names.held()) {
      const deep = loader.loadDeepCatalog(background);
      if (deep) await wait(deep, startedAt + coldBudgetMs - clock.monotonic());
    }
    const head = state.head();
    if (!head || !state.names.held()) return { type: "nothing" };
    if (ageOf(state.readAt()) > freshMs) loader.refresh(background, false);
    const status = from === "memory" ? "hit" : `fwd=${cold ? "miss" : "stale"}`;
    const currentAt = state.names.complete() ? state.readAt() : -Infinity;
    const told = provenance(currentAt, from, status, since, state.names.confirmedAt());
    return { type: "found", head, names: state.names.list(), ...told };
  }

  async function ready(background: Background): Promise<boolean> {
    const startedAt = clock.monotonic();
    if (!state.head()) {
      const joined = loader.refresh(background, true);
      if (joined) await wait(joined, startedAt + coldBudgetMs - clock.monotonic());
    }
    return state.head() !== undefined;
  }

  return {
    lookup: (service, background) => lookup(service, background),
    glance,
    dueMs,
    lookupAll: (services, background) => lookupEach(services, background, (service) => lookup(service, background)),
    list,
    ready,
    revalidated,
  };
}
