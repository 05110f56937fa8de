import type { Head } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import type { Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { ResolverLog } from "../log.ts";
import type { Entry, NamespaceState } from "../memory/namespace-state.ts";
import type { ReadStore } from "../store/redis.ts";
import type { Attempts } from "./attempts.ts";
import type { Breaker } from "./breaker.ts";
import { HEAD_DOCUMENT, type Document, type Documents } from "./documents.ts";
import type { Background } from "./flight.ts";
import type { Opened } from "./opening.ts";
import { isHeld, type Reading } from "./reading.ts";
import type { DocumentName } from "./shared-readings.ts";

/** A Redis that fails now and then, too seldom for the breaker, is told of no more often than that, with the count of all. */
const TELL_MS = 60_000;

/** Asks Redis, once the breaker has allowed it, and leaves what it answered to the other levels. Rejects where it failed. */
export interface RedisReader {
  /** Reads documents together with the head, in one MGET; gives the services among them. */
  read(names: readonly DocumentName[], background: Background): Promise<Map<string, Entry>>;
  /** Reads the head alone; whether it told anything. */
  readHead(background: Background): Promise<boolean>;
  /** When the last answered reading of the head began, monotonic; -Infinity without one. */
  headTriedAt(): number;
  /** Whether that head told nothing, or there was none. */
  silent(): boolean;
  /** The same of the catalog, as far as the head beside it told something. */
  catalogTriedAt(): number;
}

export interface RedisReaderOptions {
  readonly namespace: string;
  readonly state: NamespaceState;
  readonly store: ReadStore;
  readonly breaker: Breaker;
  readonly documents: Documents;
  readonly reading: Reading;
  readonly attempts: Attempts;
  readonly clock: Clock;
  readonly log: ResolverLog;
  /** Called whenever Redis has answered. */
  readonly onAnswer: (background: Background) => void;
}

export function createRedisReader(options: RedisReaderOptions): RedisReader {
  const { namespace, state, store, breaker, documents, reading, attempts, clock, log, onAnswer } = options;
  let headTriedAt = -Infinity;
  let silent = false;
  let catalogTriedAt = -Infinity;

  let failures = 0;
  let toldAt = -Infinity;

  const keyOf = ([kind, name]: DocumentName) =>
    kind === "service" ? serviceKey(namespace, name) : kind === "head" ? headKey(namespace) : catalogKey(namespace);

  async function ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      breaker.succeeded();
      return answer;
    } catch (error) {
      failures++;
      // While it is open every probe fails the same way, and once is enough to tell.
      if (breaker.closed() && clock.monotonic() - toldAt >= TELL_MS) {
        log.warn({ namespace, failures, reason: messageOf(error) }, "Redis could not be read");
        toldAt = clock.monotonic();
      }
      breaker.failed();
      throw error;
    }
  }

  /** Reads documents of one MGET. Nothing is learnt beside a head that tells nothing. */
  async function read(names: readonly DocumentName[], background: Background): Promise<Map<string, Entry>> {
    const readAt = clock.monotonic();
    const all = [HEAD_DOCUMENT, ...names];
    const texts = await ask(() => store.mget(all.map(keyOf)));
    onAnswer(background);
    // All of them first, so that what is learnt from one reading is learnt at once.
    const opened = await documents.open(all, texts);
    const entries = new Map<string, Entry>();
    headTriedAt = readAt;
    const head = reading.head(opened[0], readAt);
    silent = !head;
    if (!head) return entries;
    const current: Document[] = [];
    all.forEach((name, index) => {
      const version = take(name, opened[index], readAt, head, entries);
      if (version) current.push({ name, text: texts[index], opened: opened[index], version });
    });
    const [first, ...others] = current;
    documents.share(first ? [...others, first] : [], readAt, head, background);
    return entries;
  }

  /** Its version, if it may be shared: only what was current when it was read tells others what was current then. */
  function take(
    [kind, name]: DocumentName,
    opened: Opened | undefined,
    readAt: number,
    head: Head,
    entries: Map<string, Entry>,
  ): Version | undefined {
    if (kind === "head") return head;
    if (kind === "catalog") {
      catalogTriedAt = readAt;
      if (opened) reading.catalog(opened, "redis");
      return { epoch: head.epoch, revision: head.catalogRevision };
    }
    const taken = opened && reading.snapshot(name, opened, head, readAt, "redis");
    if (taken) entries.set(name, taken.entry);
    if (taken?.entry.standing.type === "current") {
      attempts.delete(name);
      return isHeld(taken) ? taken.version : undefined;
    }
    attempts.set(name, { at: readAt, missing: opened === undefined }, head);
    return undefined;
  }

  async function readHead(background: Background): Promise<boolean> {
    const readAt = clock.monotonic();
    const text = await ask(() => store.get(headKey(namespace)));
    onAnswer(background);
    headTriedAt = readAt;
    const [opened] = await documents.open([HEAD_DOCUMENT], [text]);
    const head = reading.head(opened, readAt);
    silent = !head;
    if (!head) return false;
    // Where something has changed the head is shared with that.
    if (state.behind(1).length === 0) {
      documents.share([{ name: HEAD_DOCUMENT, text, opened, version: head }], readAt, head, background);
    }
    return true;
  }

  return {
    read,
    readHead,
    headTriedAt: () => headTriedAt,
    silent: () => silent,
    catalogTriedAt: () => catalogTriedAt,
  };
}
