import type { Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import { HEAD_DOCUMENT, type Documents } from "./documents.ts";
import type { Loaded } from "./loader.ts";
import type { Entry, NamespaceState } from "../memory/namespace-state.ts";
import type { Reading } from "./reading.ts";
import type { DocumentName } from "./shared-readings.ts";

/** What is said of a copy's head, which is not signed, counts for nothing that would make it newer. */
const OLDEST: Version = { epoch: 0, revision: 0 };

export interface DeepReaderOptions {
  readonly state: NamespaceState;
  readonly reading: Reading;
  readonly documents: Documents;
  readonly clock: Clock;
  readonly swrMs: number;
}

/**
 * Takes what the deep store has of a namespace that nothing else tells of. It may be of any age, and what it was read with
 * is not signed: so it never counts as younger than what must be read again, nor as verified by more than itself.
 */
export function createDeepReader(options: DeepReaderOptions): (names: readonly DocumentName[]) => Promise<Loaded> {
  const { state, reading, documents, clock, swrMs } = options;
  return async (names) => {
    const entries = new Map<string, Entry>();
    const all = state.head() ? names : [HEAD_DOCUMENT, ...names];
    const found = await documents.fromDeep(all);
    const readAtMost = clock.monotonic() - swrMs - 1;
    all.forEach(([kind, name], index) => {
      const copy = found[index];
      if (!copy) return;
      const readAt = Math.min(copy.readAt, readAtMost);
      if (kind === "head") reading.sharedHead(copy.opened, readAt, "deep");
      else if (kind === "catalog") reading.catalog(copy.opened, "deep", copy.verified.confirmedAt);
      else {
        const taken = reading.snapshot(name, copy.opened, { ...copy.verified, ...OLDEST }, readAt, "deep");
        if (taken) entries.set(name, taken.entry);
      }
    });
    return { from: "last-known-good", entries };
  };
}
