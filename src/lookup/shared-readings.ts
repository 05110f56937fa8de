import type { DocumentKind } from "../../contract/document.ts";
import type { Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { ResolverLog } from "../log.ts";
import type { ColoCache, ColoKind } from "../store/colo.ts";
import type { StoredReading, Verified } from "../store/stored-reading.ts";

/** How long anyone looks into the colo cache: past that Redis is as fast. */
export const COLO_TIMEOUT_MS = 100;
/**
 * Documents looked for, or left, at once, besides the head. Each is a request of its own, of which a Worker's invocation has
 * 50 on the free plan; of Redis any number is one.
 */
export const COLO_DOCUMENTS_MAX = 16;
/** How long a put goes on. Nobody waits for it, but a Worker has six connections. */
const PUT_TIMEOUT_MS = 2000;
/** A colo cache that was slow, or failed, is left alone for so long: it costs one look in that time, not each refresh. */
export const COLO_PAUSE_MS = 10_000;
/** A reading from another machine of the data centre may look this much younger than now. */
const CLOCK_SKEW_MS_MAX = 1000;

/** A stored document: its kind, and its name where a namespace has several of that kind. */
export type DocumentName = readonly [kind: DocumentKind, name: string];

/** A reading of another isolate, by this one's clock. */
export interface SharedReading {
  /** When it began, monotonic. */
  readonly readAt: number;
  readonly verified: Verified;
  readonly text: string;
}

/** What an isolate takes from and leaves to the others of its data centre. Nothing here rejects, or takes long. */
export interface SharedReadings {
  /** Whether it is worth a look: there is a colo cache, and it was not slow lately. */
  usable(): boolean;
  /** In the order of `documents`, as far as they are there. */
  get(documents: readonly DocumentName[]): Promise<readonly (SharedReading | undefined)[]>;
  /** Leaves a reading, begun at `readAt` (monotonic), to the others. */
  put(document: DocumentName, readAt: number, verified: Verified, text: string): Promise<void>;
  /** When another isolate has last said that it goes to Redis for the head, monotonic; -Infinity if none has. */
  claimedAt(): Promise<number>;
  /** Tells the others that this one goes. It does not keep them from going: it only makes it unlikely. */
  claim(): Promise<void>;
  marked(mark: string): Promise<SharedReading | undefined>;
  mark(mark: string, version: Version): Promise<void>;
}

export interface SharedReadingsOptions {
  readonly namespace: string;
  readonly colo: ColoCache | undefined;
  readonly clock: Clock;
  readonly log: ResolverLog;
}

const NO_HEAD: Verified = { epoch: 0, revision: 0, confirmedAt: 0 };

export function createSharedReadings({ namespace, colo, clock, log }: SharedReadingsOptions): SharedReadings {
  let pausedUntil = -Infinity;

  const usable = () => colo !== undefined && clock.monotonic() >= pausedUntil;

  /** Undefined when it failed or took too long, and then for a while without asking. */
  async function bounded<T>(timeoutMs: number, call: (cache: ColoCache) => Promise<T>): Promise<T | undefined> {
    if (!colo || !usable()) return undefined;
    try {
      return await within(clock, timeoutMs, "the colo cache", call(colo));
    } catch (error) {
      if (usable()) log.warn({ namespace, reason: messageOf(error) }, "the colo cache is left alone for a while");
      pausedUntil = clock.monotonic() + COLO_PAUSE_MS;
      return undefined;
    }
  }

  function get(names: readonly (readonly [ColoKind, string])[]): Promise<(SharedReading | undefined)[] | undefined> {
    return bounded(COLO_TIMEOUT_MS, async (cache) => {
      const found = await Promise.all(names.map(([kind, name]) => cache.get(namespace, kind, name)));
      return found.map((reading) => reading && byThisClock(reading, clock));
    });
  }

  async function put(kind: ColoKind, name: string, reading: StoredReading): Promise<void> {
    await bounded(PUT_TIMEOUT_MS, (cache) => cache.put(namespace, kind, name, reading));
  }

  const markOf = (verified: Verified): StoredReading => ({ readAt: Math.round(clock.now()), verified, text: "" });

  return {
    usable,
    async get(documents) {
      return (await get(documents)) ?? documents.map(() => undefined);
    },
    put: ([kind, name], readAt, verified, text) =>
      put(kind, name, { readAt: wallTimeOf(readAt, clock), verified, text }),
    async claimedAt() {
      const [claim] = (await get([["claim", ""]])) ?? [];
      return claim?.readAt ?? -Infinity;
    },
    claim: () => put("claim", "", markOf(NO_HEAD)),
    async marked(mark) {
      const [found] = (await get([["copied", mark]])) ?? [];
      return found;
    },
    mark: (mark, version) => put("copied", mark, markOf({ ...NO_HEAD, ...version })),
  };
}

/** When a reading began, milliseconds since the epoch, for whoever has another monotonic clock. */
export function wallTimeOf(readAt: number, clock: Clock): number {
  return Math.round(clock.now() - (clock.monotonic() - readAt));
}

/** Undefined for one of the future: a clock is wrong, and its age could not be told. */
export function byThisClock({ readAt, verified, text }: StoredReading, clock: Clock): SharedReading | undefined {
  const ageMs = clock.now() - readAt;
  if (ageMs < -CLOCK_SKEW_MS_MAX) return undefined;
  return { readAt: clock.monotonic() - Math.max(0, ageMs), verified, text };
}
