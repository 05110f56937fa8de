import { SCHEMA_VERSION } from "../../contract/document.ts";
import { compareVersions, type Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import { createBoundedMap } from "../memory/bounded-map.ts";
import type { Background } from "./flight.ts";
import type { ResolverLog } from "../log.ts";
import { byThisClock, type DocumentName, type SharedReading, type SharedReadings } from "./shared-readings.ts";
import type { DeepStore } from "../store/deep.ts";
import { encodeReading, parseReading, type StoredReading } from "../store/stored-reading.ts";
import { createTokenBucket } from "../token-bucket.ts";

/** How long a reading of the deep store may take: a lookup that has found nothing elsewhere still waits for it. */
export const DEEP_TIMEOUT_MS = 500;
/** A deep store that was slow, or failed, is left alone for so long; for writing longer, since nobody waits for that. */
const READ_PAUSE_MS = 10_000;
const WRITE_PAUSE_MS = 60_000;
/** A document is written no more often, by whichever isolate of a data centre, and up to a fifth later. */
export const WRITE_INTERVAL_MS = 600_000;
const WRITE_JITTER = 0.2;
/** What has not changed is written again after a day, so that its age does not grow for ever. */
const REWRITE_MS = 86_400_000;
/** Writes of an isolate, and those begun with one reading: KV costs by the write, and a Worker has six connections. */
export const WRITES_PER_MINUTE = 60;
const WRITES_AT_ONCE = 3;
/** What waits to be written, and its characters. What is dropped is offered again with its next reading. */
const WAITING_MAX = 1000;
const WAITING_CHARACTERS_MAX = 4_000_000;
/** KV takes 25 MiB a value, and a character may be three bytes. */
const DOCUMENT_CHARACTERS_MAX = 8_000_000;
/** Documents of which it is remembered when they were written. */
const WRITTEN_MAX = 10_000;
/** Readings of the deep store by an isolate: made-up names must not become a bill. */
const READS_PER_SECOND = 20;
const READS_BURST = 100;
/** What was not there is not looked for again so soon. */
const MISS_MS = 30_000;
const MISSES_MAX = 2000;

/** Copies for isolates that hold nothing when Redis is away. Nothing here rejects. */
export interface DeepCopies {
  /** Whether it is worth a look: there is a deep store, and it was not slow lately. */
  usable(): boolean;
  /** Takes note of what was read and good. `version` is that of the document, and tells whether it has changed. */
  offer(document: DocumentName, version: Version, reading: StoredReading): void;
  /** Writes some of what is due. */
  write(background: Background): void;
  /** In the order of `documents`, as far as they are there, within DEEP_TIMEOUT_MS. */
  read(documents: readonly DocumentName[]): Promise<readonly (SharedReading | undefined)[]>;
}

export interface DeepCopiesOptions {
  readonly namespace: string;
  readonly store: DeepStore | undefined;
  /** Tells the isolates of a data centre what another one has written. */
  readonly shared: SharedReadings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ResolverLog;
}

interface Waiting {
  readonly document: DocumentName;
  readonly version: Version;
  readonly reading: StoredReading;
  readonly dueAt: number;
}

/** Reading and writing are paused apart: a plan whose writes are used up must still be read. */
interface Gate {
  readonly pauseMs: number;
  pausedUntil: number;
}

interface Written {
  readonly at: number;
  readonly version: Version;
}

export function createDeepCopies(options: DeepCopiesOptions): DeepCopies {
  const { namespace, store, shared, clock, random, log } = options;
  const writes = createTokenBucket({ clock, ratePerSecond: WRITES_PER_MINUTE / 60, burst: WRITES_PER_MINUTE });
  const reads = createTokenBucket({ clock, ratePerSecond: READS_PER_SECOND, burst: READS_BURST });
  const written = createBoundedMap<string, Written>({ entriesMax: WRITTEN_MAX });
  const misses = createBoundedMap<string, number>({ entriesMax: MISSES_MAX });
  const waiting = createBoundedMap<string, Waiting>({
    entriesMax: WAITING_MAX,
    weightMax: WAITING_CHARACTERS_MAX,
    weightOf: ({ reading }) => reading.text.length,
  });
  const reading: Gate = { pauseMs: READ_PAUSE_MS, pausedUntil: -Infinity };
  const writing: Gate = { pauseMs: WRITE_PAUSE_MS, pausedUntil: -Infinity };

  const ageOf = (at: number) => clock.monotonic() - at;
  const open = ({ pausedUntil }: Gate) => store !== undefined && clock.monotonic() >= pausedUntil;
  const keyOf = ([kind, name]: DocumentName) => [SCHEMA_VERSION, namespace, kind, name].join("/");

  /** Undefined when it failed or took too long. */
  async function bounded<T>(
    gate: Gate,
    call: (deep: DeepStore) => Promise<T>,
  ): Promise<{ readonly value: T } | undefined> {
    if (!store || !open(gate)) return undefined;
    try {
      return { value: await within(clock, DEEP_TIMEOUT_MS, "the deep store", call(store)) };
    } catch (error) {
      if (open(gate))
        log.warn({ namespace, reason: messageOf(error) }, "the deep store fails, and is left alone for a while");
      gate.pausedUntil = clock.monotonic() + gate.pauseMs;
      return undefined;
    }
  }

  /** The head tells the age of all the others, so it is written again although nothing has changed. */
  function changed([kind]: DocumentName, version: Version, last: Written | undefined): boolean {
    if (!last || kind === "head" || ageOf(last.at) > REWRITE_MS) return true;
    return compareVersions(version, last.version) !== 0;
  }

  function wait(item: Omit<Waiting, "dueAt">, last: Written | undefined): void {
    if (!changed(item.document, item.version, last)) return;
    const intervalMs = WRITE_INTERVAL_MS * (1 + WRITE_JITTER * random());
    waiting.set(keyOf(item.document), { ...item, dueAt: last ? last.at + intervalMs : -Infinity });
  }

  /** Undefined unless another isolate of the data centre, or of any, wrote it so lately that this one need not. */
  async function writtenElsewhere(item: Waiting): Promise<Written | undefined> {
    const { document, version } = item;
    const mark = await shared.marked(keyOf(document));
    const marked = mark && { at: mark.readAt, version: mark.verified };
    if (marked && (ageOf(marked.at) < WRITE_INTERVAL_MS || !changed(document, version, marked))) return marked;
    const found = await bounded(writing, (deep) => deep.get(keyOf(document)));
    const stored = found?.value === undefined ? undefined : parseReading(found.value);
    const copy = stored && byThisClock(stored, clock);
    if (!copy || ageOf(copy.readAt) > REWRITE_MS) return undefined;
    const same = copy.text === item.reading.text;
    if (!same && ageOf(copy.readAt) >= WRITE_INTERVAL_MS) return undefined;
    return { at: copy.readAt, version: same ? version : copy.verified };
  }

  async function writeOne(item: Waiting): Promise<void> {
    const key = keyOf(item.document);
    // Noted first, so that what is read meanwhile waits for its own time.
    written.set(key, { at: clock.monotonic(), version: item.version });
    const elsewhere = await writtenElsewhere(item);
    if (elsewhere) {
      written.set(key, elsewhere);
      if (!waiting.has(key)) wait(item, elsewhere);
      return;
    }
    const done = await bounded(writing, (deep) => deep.put(key, encodeReading(item.reading)));
    if (done) return shared.mark(key, item.version);
    written.delete(key);
    if (!waiting.has(key)) waiting.set(key, item);
  }

  async function readOne(document: DocumentName): Promise<SharedReading | undefined> {
    const key = keyOf(document);
    const missedAt = misses.get(key);
    if ((missedAt !== undefined && ageOf(missedAt) < MISS_MS) || !reads.take()) return undefined;
    const found = await bounded(reading, (deep) => deep.get(key));
    if (!found) return undefined;
    const stored = found.value === undefined ? undefined : parseReading(found.value);
    if (!stored) misses.set(key, clock.monotonic());
    return stored && byThisClock(stored, clock);
  }

  return {
    usable: () => open(reading),
    offer(document, version, read) {
      if (!store || read.text.length > DOCUMENT_CHARACTERS_MAX) return;
      const key = keyOf(document);
      // It goes on waiting for its time, with the later reading.
      const before = waiting.peek(key);
      if (before) waiting.set(key, { ...before, version, reading: read });
      else wait({ document, version, reading: read }, written.get(key));
    },
    write(background) {
      if (!open(writing)) return;
      let begun = 0;
      for (const item of waiting.values()) {
        if (item.dueAt > clock.monotonic()) continue;
        if (begun === WRITES_AT_ONCE || !writes.take()) return;
        begun++;
        waiting.delete(keyOf(item.document));
        background(writeOne(item));
      }
    },
    read: (documents) => Promise.all(documents.map(readOne)),
  };
}
