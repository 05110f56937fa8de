import type { Clock } from "../kernel/clock.ts";
import { systemClock } from "../kernel/clock.ts";
import { systemRandom, type Random } from "../kernel/random.ts";
import type { AccessRule } from "./access/access.ts";
import type { RateLimitRule } from "./access/rate-limit.ts";
import { consoleLog, type ResolverLog } from "./log.ts";
import type { Freshness } from "./lookup/lookups.ts";
import type { Refusal } from "./lookup/refusals.ts";
import type { NearRules } from "./memory/near.ts";
import { createSteadyClock } from "./steady-clock.ts";
import type { ColoCache } from "./store/colo.ts";
import type { DeepStore } from "./store/deep.ts";
import type { ReadStore } from "./store/redis.ts";

/** Snapshots held in memory, for all namespaces: an isolate has 128 MB, and a request's own work needs its part. */
export interface MemoryBounds {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

export const MEMORY_DEFAULT: MemoryBounds = { entriesMax: 10_000, bytesMax: 48 * 1024 * 1024 };

export const FRESHNESS_DEFAULT: Freshness = {
  freshMs: 1000,
  swrMs: 2000,
  budgetMs: 250,
  coldBudgetMs: 2000,
  // The publisher confirms every two seconds: five missed are no hiccup.
  staleAfterMs: 10_000,
};

/**
 * Watchers of an isolate at once. Each holds a request open and looks about once in a fresh interval: see bench/ for
 * what that takes. Lower: more are turned away. Higher: less memory is left for what they watch.
 */
export const WATCHERS_MAX_DEFAULT = 2000;
export interface ResolverOptions {
  /** Who may ask. There is no default: a resolver is open only when told so. */
  readonly access: AccessRule;
  /** How much one caller may ask. Nothing is limited if left out. */
  readonly rateLimit?: RateLimitRule;
  /** Origins whose pages may read answers, `*` for any; none if left out. */
  readonly corsOrigins?: readonly string[];
  readonly store: ReadStore;
  /** Served, and read from Redis; the first is the default. No other name reaches Redis. `["default"]` if left out. */
  readonly namespaces?: readonly [string, ...string[]];
  /** What stands before each path, `/discovery` for instance; nothing if left out. */
  readonly basePath?: string;
  /** Between memory and Redis, where there is one. */
  readonly colo?: ColoCache | undefined;
  /** Where last-known-good copies outlive an isolate, and a Redis that is down. */
  readonly deep?: DeepStore | undefined;
  /** What is left out is as in FRESHNESS_DEFAULT. */
  readonly freshness?: Partial<Freshness>;
  /** What is left out is as in MEMORY_DEFAULT. */
  readonly memory?: Partial<MemoryBounds>;
  /** Streams and long polls at once, three quarters of them of one caller; WATCHERS_MAX_DEFAULT if left out. */
  readonly watchersMax?: number;
  /**
   * Of the registrar's signing keys, as `fingerpost keys` prints them: only what was signed with one of them is served. Left
   * out, or empty, what is stored is believed.
   */
  readonly publicKeys?: readonly string[];
  /** Told each time that a stored document is not taken for what it says; the log tells each change once. */
  readonly onRefused?: (refusal: Refusal) => void;
  /** What `near=auto` takes for near; what is called like a data centre, country or continent is near without any. */
  readonly near?: NearRules;
  /** The system's, made steady, if left out. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Lines of JSON on the console if left out. */
  readonly log?: ResolverLog;
}

/** With every default in its place. */
export type CompleteOptions = Required<Omit<ResolverOptions, "freshness" | "memory">> & {
  readonly freshness: Freshness;
  readonly memory: MemoryBounds;
};

export function withDefaults({ freshness, memory, ...options }: ResolverOptions): CompleteOptions {
  return {
    rateLimit: {},
    corsOrigins: [],
    namespaces: ["default"],
    basePath: "",
    colo: undefined,
    deep: undefined,
    near: new Map(),
    watchersMax: WATCHERS_MAX_DEFAULT,
    publicKeys: [],
    onRefused: () => undefined,
    clock: createSteadyClock(systemClock),
    random: systemRandom,
    log: consoleLog,
    ...given(options),
    freshness: { ...FRESHNESS_DEFAULT, ...given(freshness) },
    memory: { ...MEMORY_DEFAULT, ...given(memory) },
  };
}

/** What is there and undefined is left out as well. */
function given<T extends object>(options: T | undefined): T {
  return Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined)) as T;
}
