import type { Source } from "../../contract/http.ts";
import type { Verifier } from "../../contract/signature.ts";
import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import { createAttempts } from "./attempts.ts";
import type { Breaker } from "./breaker.ts";
import { createFlights, type Background, type Joined } from "./flight.ts";
import type { ResolverLog } from "../log.ts";
import type { Entry, NamespaceState } from "../memory/namespace-state.ts";
import { createOpener } from "./opening.ts";
import { createDocuments, CATALOG_DOCUMENT, HEAD_DOCUMENT, type OpenedReading } from "./documents.ts";
import { createDeepReader } from "./deep-reader.ts";
import { DEEP_TIMEOUT_MS, type DeepCopies } from "./deep-copies.ts";
import { createReading, isHeld } from "./reading.ts";
import { createRedisReader } from "./redis-reader.ts";
import { createRefusals, type Refusal } from "./refusals.ts";
import { COLO_DOCUMENTS_MAX, COLO_TIMEOUT_MS, type DocumentName, type SharedReadings } from "./shared-readings.ts";
import { MGET_KEYS_MAX, type ReadStore } from "../store/redis.ts";
import type { TokenBucket } from "../token-bucket.ts";

/** Loads under way at once in a namespace. A Worker has six connections; the rest queue behind them. */
const FLIGHTS_MAX = 512;
/** Services in one load: one key of an MGET is the head's. */
export const LOAD_SERVICES_MAX = MGET_KEYS_MAX - 1;
/** Estimated bytes of what a load takes along unasked: an invocation has 10 ms of CPU on the free plan. */
const ALONG_BYTES_MAX = 1024 * 1024;
/**
 * The part of the fresh interval within which the isolates of a data centre begin their refresh, at random, so that the
 * first one's reading serves the others. More would show in the age of answers.
 */
const SPREAD = 0.05;
/** The part of the fresh interval for which one that has said that it goes to Redis is waited for, while what is held may be served. */
const CLAIM = 0.25;
const CLAIM_MS_MAX = 250;
/** How soon the colo cache is looked into again for a head: another isolate's reading takes about as long, if Redis is well. */
const LOOK_MS = 25;
const LOOK_DOWN_MS = 250;

const HEAD = "head";
const CATALOG = "catalog";
const REVALIDATION = "revalidation";

export interface Loaded {
  readonly from: Exclude<Source, "memory">;
  /** When the head that another isolate had read was read, monotonic: it was young enough when it was taken. */
  readonly headReadAt?: number;
  /** What was read, also where it was too big to be kept. */
  readonly entries: ReadonlyMap<string, Entry>;
}

/**
 * Fills a namespace's state. Each method joins what is under way for the same thing, or starts it; undefined when
 * neither may be: the last try is less than the fresh interval ago, the breaker is open, or too much is under way.
 */
export interface Loader {
  /**
   * Reads the head, and what it says has changed: from the colo cache, if it has them as new. `waited`: somebody waits
   * for it; else it may wait for another isolate that does the same.
   */
  refresh(background: Background, waited: boolean): Joined<Loaded> | undefined;
  /** Milliseconds until a refresh that nobody waits for would begin; 0 or less when one is due, or not to be had. */
  refreshDueMs(): number;
  refreshing(): boolean;
  /** The revalidation under way, if there is one. */
  revalidating(background: Background): Joined<Loaded> | undefined;
  /** Reads the head, and what it says has changed, however young what is held is; "limited" when that was too often. */
  revalidate(background: Background): Joined<Loaded> | "limited" | undefined;
  /** Takes these services from the colo cache, where there is one, as old as they are there. */
  loadColo(services: readonly string[], background: Background): Joined<Loaded> | undefined;
  /** Reads these services together with the head. */
  load(services: readonly string[], background: Background): Joined<Loaded> | undefined;
  /** Reads the catalog together with the head. */
  loadCatalog(background: Background): Joined<Loaded> | undefined;
  /** What a lookup sets aside of its budget for the deep store, in milliseconds: 0 without one. */
  deepBudgetMs(): number;
  /** Takes these services from the deep store. */
  loadDeep(services: readonly string[], background: Background): Joined<Loaded> | undefined;
  /** Takes the catalog from the deep store, to be listed: no absence follows from it. */
  loadDeepCatalog(background: Background): Joined<Loaded> | undefined;
  loading(service: string): boolean;
  /** When the reading under way that would make this held service current began, monotonic. */
  readingSince(service: string): number | undefined;
  /** Loads under way. */
  size(): number;
  /** Whether a load within the fresh interval found no such key, beside a head that told something. */
  missing(service: string): boolean;
}

export interface LoaderOptions {
  readonly namespace: string;
  readonly state: NamespaceState;
  readonly store: ReadStore;
  readonly shared: SharedReadings;
  readonly deep: DeepCopies;
  readonly breaker: Breaker;
  /** Shared by all namespaces: they have one Redis. */
  readonly revalidations: TokenBucket;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ResolverLog;
  readonly freshMs: number;
  readonly swrMs: number;
  /** Undefined: what is stored is believed. */
  readonly verifier: Verifier | undefined;
  readonly onRefused: (refusal: Refusal) => void;
  /** Called whenever Redis has answered. */
  readonly onAnswer: (background: Background) => void;
}

export function createLoader(options: LoaderOptions): Loader {
  const { namespace, state, store, shared, deep, breaker, revalidations, clock, random, log, freshMs, swrMs } = options;
  // A refresh makes two requests in a row.
  const flights = createFlights<Loaded>({
    clock,
    ageMsMax: 2 * store.timeoutMs + COLO_TIMEOUT_MS,
    countMax: FLIGHTS_MAX,
  });
  const opener = createOpener(namespace, options.verifier, clock);
  const refusals = createRefusals(namespace, log, options.onRefused);
  const documents = createDocuments({ opener, shared, deep, clock });
  const reading = createReading({ namespace, state, refusals, clock, log });
  const readDeep = createDeepReader({ state, reading, documents, clock, swrMs });
  const attempts = createAttempts(state, clock, freshMs);
  const redis = createRedisReader({ ...options, documents, reading, attempts });
  let lookedAt = -Infinity;
  /** Whether somebody waits for the refresh that is under way. */
  let awaited = false;
  /** Drawn anew with every reading of the head. */
  let spreadMs = drawSpread();

  const ageOf = (at: number) => clock.monotonic() - at;
  const recently = (at: number) => ageOf(at) < freshMs;
  /** Nothing is learnt beside such a head, so nothing else is worth asking for until it is tried again. */
  const headless = () => redis.silent() && recently(redis.headTriedAt());

  /** Takes what the colo cache has, as old as it is: its age decides whether it is served. */
  async function loadShared(services: readonly string[]): Promise<Loaded> {
    const entries = new Map<string, Entry>();
    const [head, ...snapshots] = await documents.fromColo([HEAD_DOCUMENT, ...documentsOf(services)]);
    if (head) reading.sharedHead(head.opened, head.readAt, "colo");
    if (state.head()) services.forEach((service, index) => takeShared(service, snapshots[index], entries));
    return { from: "colo", entries };
  }

  function takeShared(service: string, found: OpenedReading | undefined, entries: Map<string, Entry>): void {
    const taken = found && reading.snapshot(service, found.opened, found.verified, found.readAt, "colo");
    if (!taken) return;
    entries.set(service, taken.entry);
    // Who left it there may be gone before it was copied.
    if (taken.entry.standing.type === "current" && isHeld(taken)) documents.offer(service, taken.version, found);
  }

  /** Whether the colo cache had a head that was read within the fresh interval, and is no older than the held one. */
  function takeSharedHead(head: OpenedReading | undefined): boolean {
    if (!head || ageOf(head.readAt) > freshMs) return false;
    reading.sharedHead(head.opened, head.readAt, "colo");
    spreadMs = drawSpread();
    return state.readAt() >= head.readAt;
  }

  function drawSpread(): number {
    return shared.usable() ? random() * SPREAD * freshMs : 0;
  }

  async function refreshShared(background: Background): Promise<Loaded> {
    lookedAt = clock.monotonic();
    const [[head], claimedAt] = await Promise.all([
      documents.fromColo([HEAD_DOCUMENT]),
      awaited ? -Infinity : shared.claimedAt(),
    ]);
    if (takeSharedHead(head)) return refreshChanged("colo", background);
    // Somebody may have come to wait since.
    if (!awaited && ageOf(claimedAt) < Math.min(CLAIM_MS_MAX, CLAIM * freshMs))
      return { from: "colo", entries: new Map() };
    if (!breaker.allow()) throw new FingerpostError("unavailable", "Redis is not asked while it is down.");
    background(shared.claim());
    return refreshNow(background);
  }

  /** Brings held services up to a head that was just read: those that another isolate has read already from there. */
  async function refreshChanged(from: "redis" | "colo", background: Background): Promise<Loaded> {
    const entries = new Map<string, Entry>();
    if (from === "colo") {
      const changed = state.behind(COLO_DOCUMENTS_MAX + 1);
      const found = changed.length > COLO_DOCUMENTS_MAX ? [] : await documents.fromColo(documentsOf(changed));
      changed.forEach((service, index) => takeShared(service, found[index], entries));
    }
    const changed = state.behind(LOAD_SERVICES_MAX);
    if (changed.length === 0 || (from === "colo" && !breaker.allow())) {
      return { from, entries, ...(from === "colo" ? { headReadAt: state.readAt() } : {}) };
    }
    return { from: "redis", entries: new Map([...entries, ...(await redis.read(documentsOf(changed), background))]) };
  }

  async function refreshNow(background: Background): Promise<Loaded> {
    const tells = await redis.readHead(background);
    spreadMs = drawSpread();
    return tells ? refreshChanged("redis", background) : { from: "redis", entries: new Map() };
  }

  async function loadNow(names: readonly string[], background: Background): Promise<Loaded> {
    return { from: "redis", entries: await redis.read(documentsOf(names), background) };
  }

  async function loadCatalogNow(background: Background): Promise<Loaded> {
    if (shared.usable()) {
      const [head, catalog] = await documents.fromColo([HEAD_DOCUMENT, CATALOG_DOCUMENT]);
      takeSharedHead(head);
      if (catalog && state.head()) reading.catalog(catalog.opened, "colo");
      const held = state.head();
      if (held && ageOf(state.readAt()) <= freshMs && state.names.countsCurrent(held)) {
        return { from: "colo", entries: new Map(), headReadAt: state.readAt() };
      }
    }
    if (!breaker.allow()) throw new FingerpostError("unavailable", "Redis is not asked while it is down.");
    return { from: "redis", entries: await redis.read([CATALOG_DOCUMENT], background) };
  }

  /** A refresh brings what its own head has shown to be behind. */
  function joinLoad(name: string, background: Background): Joined<Loaded> | undefined {
    const joined = flights.join(`s:${name}`, background);
    if (joined || state.entry(name)?.standing.type !== "behind") return joined;
    return flights.join(HEAD, background);
  }

  /**
   * What else is behind: a load reads the head, too, and so puts off the refresh that would have brought it. Then what a gap
   * in the ring has left unverified. Each would be loaded alone.
   */
  function alongWith(names: readonly string[]): readonly string[] {
    const countMax = LOAD_SERVICES_MAX - names.length;
    const due = (name: string) => !names.includes(name) && !attempts.get(name) && !flights.has(`s:${name}`);
    const along = state.behind(LOAD_SERVICES_MAX).filter(due).slice(0, countMax);
    let bytes = 0;
    for (const { held } of state.unverified()) {
      if (along.length >= countMax) break;
      if (bytes + held.weight > ALONG_BYTES_MAX || !due(held.snapshot.service)) continue;
      bytes += held.weight;
      along.push(held.snapshot.service);
    }
    return along;
  }

  function startDeep(names: readonly DocumentName[], background: Background): Joined<Loaded> | undefined {
    if (!deep.usable()) return undefined;
    const keys = names.map(([kind, name]) => `deep ${kind} ${name}`);
    const [first = ""] = keys;
    const joined = keys.length === 1 ? flights.join(first, background) : undefined;
    return joined ?? flights.start(keys, background, () => told(readDeep(names)));
  }

  /** Whoever waits goes on with what is held, so a defect of our own would show nowhere but here. */
  function told(load: Promise<Loaded>): Promise<Loaded> {
    return load.catch((error: unknown) => {
      if (!(error instanceof FingerpostError)) log.error({ namespace, reason: messageOf(error) }, "a reading broke");
      throw error;
    });
  }

  return {
    refresh(background, waited) {
      const joined = flights.join(HEAD, background);
      awaited = waited || (joined !== undefined && awaited);
      if (joined) return joined;
      if (recently(redis.headTriedAt()) || (!waited && ageOf(state.readAt()) < freshMs + spreadMs)) return undefined;
      if (shared.usable() && ageOf(lookedAt) >= (breaker.closed() ? LOOK_MS : LOOK_DOWN_MS)) {
        return flights.start([HEAD], background, () => told(refreshShared(background)));
      }
      if ((shared.usable() && !waited) || !breaker.allow()) return undefined;
      return flights.start([HEAD], background, () => told(refreshNow(background)));
    },
    refreshDueMs: () => freshMs + spreadMs - ageOf(state.readAt()),
    refreshing: () => flights.has(HEAD),
    revalidating: (background) => flights.join(REVALIDATION, background),
    revalidate(background) {
      const joined = flights.join(REVALIDATION, background);
      if (joined) return joined;
      if (!revalidations.take()) return "limited";
      if (!breaker.allow()) return undefined;
      // Whoever wants no more than a refresh is served by it, too.
      const keys = flights.has(HEAD) ? [REVALIDATION] : [REVALIDATION, HEAD];
      return flights.start(keys, background, () => told(refreshNow(background)));
    },
    loadColo(names, background) {
      if (!shared.usable() || names.length > COLO_DOCUMENTS_MAX) return undefined;
      const [first = ""] = names;
      const joined = names.length === 1 ? flights.join(`c:${first}`, background) : undefined;
      if (joined) return joined;
      const keys = names.map((name) => `c:${name}`).filter((key) => !flights.has(key));
      return keys.length === 0 ? undefined : flights.start(keys, background, () => told(loadShared(names)));
    },
    load(names, background) {
      const [first = ""] = names;
      const joined = names.length === 1 ? joinLoad(first, background) : undefined;
      if (joined) return joined;
      const due = names.filter((name) => !attempts.get(name) && !flights.has(`s:${name}`));
      if (headless() || due.length === 0 || !breaker.allow()) return undefined;
      const all = [...due, ...alongWith(due)];
      return flights.start(
        all.map((name) => `s:${name}`),
        background,
        () => told(loadNow(all, background)),
      );
    },
    loadCatalog(background) {
      const joined = flights.join(CATALOG, background);
      if (joined) return joined;
      if (headless() || recently(redis.catalogTriedAt())) return undefined;
      return flights.start([CATALOG], background, () => told(loadCatalogNow(background)));
    },
    deepBudgetMs: () => (deep.usable() ? DEEP_TIMEOUT_MS : 0),
    loadDeep: (names, background) => startDeep(documentsOf(names), background),
    loadDeepCatalog: (background) => startDeep([CATALOG_DOCUMENT], background),
    readingSince(name) {
      const standing = state.entry(name)?.standing.type;
      const own = standing === "current" ? undefined : flights.startedAt(`s:${name}`);
      return own ?? (standing === "unverified" ? undefined : flights.startedAt(HEAD));
    },
    loading: (name) => flights.has(`s:${name}`),
    size: () => flights.size(),
    missing: (name) => attempts.get(name)?.missing === true,
  };
}

function documentsOf(names: readonly string[]): DocumentName[] {
  return names.map((name) => ["service", name]);
}
