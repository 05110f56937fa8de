import type { Head } from "../../contract/head.ts";
import type { Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { DeepCopies } from "./deep-copies.ts";
import type { Background } from "./flight.ts";
import type { Opened, Opener } from "./opening.ts";
import {
  COLO_DOCUMENTS_MAX,
  wallTimeOf,
  type DocumentName,
  type SharedReading,
  type SharedReadings,
} from "./shared-readings.ts";

export const HEAD_DOCUMENT: DocumentName = ["head", ""];
export const CATALOG_DOCUMENT: DocumentName = ["catalog", ""];

/** A document as Redis had it. */
export interface Document {
  readonly name: DocumentName;
  readonly text: string | undefined;
  readonly opened: Opened | undefined;
  /** Changes when what it says does; told by the document itself. */
  readonly version: Version;
}

/** What another isolate read. */
export interface OpenedReading extends SharedReading {
  readonly opened: Opened;
}

/** Stored documents on their way between Redis, the colo cache and the deep store; all are opened before anything is learnt. */
export interface Documents {
  open(
    names: readonly DocumentName[],
    texts: readonly (string | undefined)[],
  ): Promise<readonly (Opened | undefined)[]>;
  /** Never reject, and take no longer than either level's own timeout. */
  fromColo(names: readonly DocumentName[]): Promise<readonly (OpenedReading | undefined)[]>;
  fromDeep(names: readonly DocumentName[]): Promise<readonly (OpenedReading | undefined)[]>;
  /**
   * Leaves what was read at `readAt` to other isolates, as it was read: each verifies it again. The last one, the head, goes
   * last: who takes it finds what belongs to it.
   */
  share(documents: readonly Document[], readAt: number, verified: Head, background: Background): void;
  /** Offers to the deep store what the colo cache had. */
  offer(service: string, version: Version, reading: OpenedReading): void;
}

export interface DocumentsOptions {
  readonly opener: Opener;
  readonly shared: SharedReadings;
  readonly deep: DeepCopies;
  readonly clock: Clock;
}

export function createDocuments({ opener, shared, deep, clock }: DocumentsOptions): Documents {
  const open: Documents["open"] = (names, texts) =>
    Promise.all(names.map(([kind, name], index) => opener.open(kind, name, texts[index])));

  async function openEach(names: readonly DocumentName[], found: readonly (SharedReading | undefined)[]) {
    const opened = await open(
      names,
      found.map((reading) => reading?.text),
    );
    return found.map((reading, index) => {
      const document = opened[index];
      return reading && document && { ...reading, opened: document };
    });
  }

  return {
    open,
    fromColo: async (names) => openEach(names, await shared.get(names)),
    fromDeep: async (names) => openEach(names, await deep.read(names)),
    share(documents, readAt, verified, background) {
      const puts: (() => Promise<void>)[] = [];
      for (const { name, text, opened, version } of documents) {
        // What is refused, or has expired, must not take the place of something better.
        if (text === undefined || opened?.type !== "valid" || opened.expired) continue;
        if (shared.usable()) puts.push(() => shared.put(name, readAt, verified, text));
        deep.offer(name, version, { readAt: wallTimeOf(readAt, clock), verified, text });
      }
      const last = puts.pop();
      if (last) background(Promise.all(puts.slice(0, COLO_DOCUMENTS_MAX).map((put) => put())).then(last));
      deep.write(background);
    },
    offer(service, version, { readAt, verified, text }) {
      deep.offer(["service", service], version, { readAt: wallTimeOf(readAt, clock), verified, text });
    },
  };
}
