import type { DocumentKind } from "../contract/document.ts";
import { catalogKey, headKey, serviceKey } from "../contract/redis-keys.ts";
import type { Verifier } from "../contract/signature.ts";
import type { Version } from "../contract/version.ts";
import type { Clock } from "../kernel/clock.ts";
import { within } from "../kernel/deadline.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import { createBoundedMap } from "./bounded-map.ts";
import type { Breaker } from "./breaker.ts";
import { createFlights, type Background, type Joined } from "./flight.ts";
import type { ResolverLog } from "./log.ts";
import type { Entry, NamespaceState } from "./namespace-state.ts";
import { createOpener, type Opened } from "./opening.ts";
import { createReading } from "./reading.ts";
import { createRefusals, type Refusal } from "./refusals.ts";
import type { ColoCache } from "./store/colo.ts";
import { MGET_KEYS_MAX, type ReadStore } from "./store/redis.ts";
import type { TokenBucket } from "./token-bucket.ts";

/** How long a cold lookup looks into the colo cache before it goes to Redis. */
const COLO_TIMEOUT_MS = 100;
/** Loads under way at once in a namespace. A Worker has six connections; the rest queue behind them. */
const FLIGHTS_MAX = 512;
/** Services whose last load brought nothing current, remembered so that they are not asked for by every request. */
const ATTEMPTS_MAX = 2000;
/** Services in one load: one key of an MGET is the head's. */
export const LOAD_SERVICES_MAX = MGET_KEYS_MAX - 1;
/** A reading from another machine of the data centre may look this much younger than now. */
const CLOCK_SKEW_MS_MAX = 1000;

/**
 * Readings that requests ask for with `no-cache`, an isolate: enough for clients that look at once at what they have just
 * written, and no lever against Redis.
 */
export const REVALIDATIONS_PER_SECOND = 5;
export const REVALIDATIONS_BURST = 10;

const HEAD = "head";
const CATALOG = "catalog";
const REVALIDATION = "revalidation";

export interface Loaded {
  readonly from: "redis" | "colo";
  /** What was read, also where it was too big to be kept. */
  readonly entries: ReadonlyMap<string, Entry>;
}

/**
 * Fills a namespace's state. Each method joins what is under way for the same thing, or starts it; undefined when
 * neither may be: the last try is less than the fresh interval ago, the breaker is open, or too much is under way.
 */
export interface Loader {
  /** Reads the head, and what it says has changed. */
  refresh(background: Background): Joined<Loaded> | undefined;
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
  loading(service: string): boolean;
  /** Loads under way. */
  size(): number;
  /** Whether a load within the fresh interval found no such key, beside a head that told something. */
  missing(service: string): boolean;
}

export interface LoaderOptions {
  readonly namespace: string;
  readonly state: NamespaceState;
  readonly store: ReadStore;
  readonly colo: ColoCache | undefined;
  readonly breaker: Breaker;
  /** Shared by all namespaces: they have one Redis. */
  readonly revalidations: TokenBucket;
  readonly clock: Clock;
  readonly log: ResolverLog;
  readonly freshMs: number;
  /** Undefined: what is stored is believed. */
  readonly verifier: Verifier | undefined;
  readonly onRefused: (refusal: Refusal) => void;
}

interface Attempt {
  readonly at: number;
  /** Of the head that was held then: what changed later was not tried for yet. */
  readonly revision: number;
  readonly missing: boolean;
}

export function createLoader(options: LoaderOptions): Loader {
  const { namespace, state, store, colo, breaker, revalidations, clock, log, freshMs } = options;
  // A refresh makes two requests in a row.
  const flights = createFlights<Loaded>({
    clock,
    ageMsMax: 2 * store.timeoutMs + COLO_TIMEOUT_MS,
    countMax: FLIGHTS_MAX,
  });
  const opener = createOpener(namespace, options.verifier, clock);
  const refusals = createRefusals(namespace, log, options.onRefused);
  const reading = createReading({ namespace, state, refusals, clock, log });
  const attempts = createBoundedMap<string, Attempt>({ entriesMax: ATTEMPTS_MAX });
  let headTriedAt = -Infinity;
  let catalogTriedAt = -Infinity;

  const recently = (at: number) => clock.monotonic() - at < freshMs;

  function attempt(name: string): Attempt | undefined {
    const last = attempts.get(name);
    if (!last || !recently(last.at)) return undefined;
    const [revision = 0] = state.change(name) ?? [];
    return revision > last.revision ? undefined : last;
  }

  async function ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      breaker.succeeded();
      return answer;
    } catch (error) {
      // While it is open every probe fails the same way, and once is enough to tell.
      if (breaker.closed()) log.warn({ namespace, reason: messageOf(error) }, "Redis could not be read");
      breaker.failed();
      throw error;
    }
  }

  /** Reads documents of one MGET. Nothing is learnt beside a head that tells nothing. */
  async function read(kinds: readonly [DocumentKind, string][], background: Background): Promise<Map<string, Entry>> {
    const readAt = clock.monotonic();
    const keys = kinds.map(([kind, name]) =>
      kind === "catalog" ? catalogKey(namespace) : serviceKey(namespace, name),
    );
    const [headText, ...texts] = await ask(() => store.mget([headKey(namespace), ...keys]));
    // All of them first, so that what is learnt from one reading is learnt at once.
    const openedHead = await opener.open("head", "", headText);
    const opened = await Promise.all(kinds.map(([kind, name], index) => opener.open(kind, name, texts[index])));
    const entries = new Map<string, Entry>();
    headTriedAt = readAt;
    const head = reading.head(openedHead, readAt);
    if (!head) return entries;
    share("head", "", openedHead, headText, readAt, head, background);
    kinds.forEach(([kind, name], index) => {
      const document = opened[index];
      if (kind === "catalog") {
        catalogTriedAt = readAt;
        if (document) reading.catalog(document);
      } else {
        const entry = document && reading.snapshot(name, document, head, "redis");
        if (entry) entries.set(name, entry);
        if (entry?.standing.type === "current") attempts.delete(name);
        else attempts.set(name, { at: readAt, revision: state.head()?.revision ?? 0, missing: document === undefined });
      }
      share(kind, name, document, texts[index], readAt, head, background);
    });
    return entries;
  }

  async function readHead(background: Background): Promise<void> {
    const readAt = clock.monotonic();
    const text = await ask(() => store.get(headKey(namespace)));
    headTriedAt = readAt;
    const opened = await opener.open("head", "", text);
    const head = reading.head(opened, readAt);
    if (head) share("head", "", opened, text, readAt, head, background);
  }

  /** Leaves what was read to the other isolates of the data centre, as it was read: each verifies it again. */
  function share(
    kind: DocumentKind,
    name: string,
    opened: Opened | undefined,
    text: string | undefined,
    readAt: number,
    verified: Version,
    background: Background,
  ): void {
    // What is refused, or has expired, must not take the place of something better.
    if (!colo || text === undefined || opened?.type !== "valid" || opened.expired) return;
    const entry = { readAt: Math.round(clock.now() - (clock.monotonic() - readAt)), verified, text };
    background(
      colo.put(namespace, kind, name, entry).catch((error: unknown) => {
        log.warn({ namespace, kind, reason: messageOf(error) }, "the colo cache did not take an entry");
      }),
    );
  }

  /** Takes what the colo cache has, as old as it is: its age decides whether it is served. */
  async function readColo(services: readonly string[]): Promise<Map<string, Entry>> {
    const entries = new Map<string, Entry>();
    if (!colo) return entries;
    const get = async (kind: DocumentKind, name: string) => {
      const entry = await colo.get(namespace, kind, name);
      const ageMs = entry ? clock.now() - entry.readAt : 0;
      if (!entry || ageMs <= -CLOCK_SKEW_MS_MAX) return undefined;
      const opened = await opener.open(kind, name, entry.text);
      return { opened, verified: entry.verified, readAt: clock.monotonic() - Math.max(0, ageMs) };
    };
    try {
      const found = Promise.all([get("head", ""), ...services.map((service) => get("service", service))]);
      const [head, ...snapshots] = await within(clock, COLO_TIMEOUT_MS, "the colo cache", found);
      if (!head || !reading.sharedHead(head.opened, head.readAt, "colo")) return entries;
      services.forEach((service, index) => {
        const snapshot = snapshots[index];
        const entry = snapshot && reading.snapshot(service, snapshot.opened, snapshot.verified, "colo");
        if (entry) entries.set(service, entry);
      });
    } catch (error) {
      log.warn({ namespace, reason: messageOf(error) }, "the colo cache did not answer");
    }
    return entries;
  }

  async function refreshNow(background: Background): Promise<Loaded> {
    await readHead(background);
    const changed = state.behind(LOAD_SERVICES_MAX);
    const entries = changed.length === 0 ? new Map<string, Entry>() : await read(documentsOf(changed), background);
    return { from: "redis", entries };
  }

  async function loadNow(names: readonly string[], background: Background): Promise<Loaded> {
    return { from: "redis", entries: await read(documentsOf(names), background) };
  }

  async function loadColoNow(names: readonly string[]): Promise<Loaded> {
    return { from: "colo", entries: await readColo(names) };
  }

  async function loadCatalogNow(background: Background): Promise<Loaded> {
    return { from: "redis", entries: await read([["catalog", ""]], background) };
  }

  /** Whoever waits goes on with what is held, so a defect of our own would show nowhere but here. */
  function told(load: Promise<Loaded>): Promise<Loaded> {
    return load.catch((error: unknown) => {
      if (!(error instanceof FingerpostError)) log.error({ namespace, reason: messageOf(error) }, "a reading broke");
      throw error;
    });
  }

  return {
    refresh(background) {
      const joined = flights.join(HEAD, background);
      if (joined) return joined;
      if (recently(headTriedAt) || !breaker.allow()) return undefined;
      return flights.start([HEAD], background, () => told(refreshNow(background)));
    },
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
      if (!colo) return undefined;
      const [first = ""] = names;
      const joined = names.length === 1 ? flights.join(`c:${first}`, background) : undefined;
      if (joined) return joined;
      const keys = names.map((name) => `c:${name}`).filter((key) => !flights.has(key));
      return keys.length === 0 ? undefined : flights.start(keys, background, () => told(loadColoNow(names)));
    },
    load(names, background) {
      const [first = ""] = names;
      const joined = names.length === 1 ? flights.join(`s:${first}`, background) : undefined;
      if (joined) return joined;
      const headless = state.head() === undefined && recently(headTriedAt);
      const due = names.filter((name) => !attempt(name) && !flights.has(`s:${name}`));
      if (headless || due.length === 0 || !breaker.allow()) return undefined;
      return flights.start(
        due.map((name) => `s:${name}`),
        background,
        () => told(loadNow(due, background)),
      );
    },
    loadCatalog(background) {
      const joined = flights.join(CATALOG, background);
      if (joined) return joined;
      if (recently(state.head() ? catalogTriedAt : headTriedAt) || !breaker.allow()) return undefined;
      return flights.start([CATALOG], background, () => told(loadCatalogNow(background)));
    },
    loading: (name) => flights.has(`s:${name}`),
    size: () => flights.size(),
    missing: (name) => attempt(name)?.missing === true,
  };
}

function documentsOf(names: readonly string[]): [DocumentKind, string][] {
  return names.map((name) => ["service", name]);
}
