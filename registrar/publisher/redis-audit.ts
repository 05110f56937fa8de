import { headKey } from "../../contract/redis-keys.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import { fingerprintOf, readFingerprints } from "./audit-script.ts";
import type { HeadGuard, Write } from "./commit-script.ts";
import type { SnapshotStore } from "./store.ts";

/** Of one page: Lua runs one script at a time, and a commit waits for as long as Redis hashes. */
export const PAGE_KEYS_MAX = 200;
export const PAGE_BYTES_MAX = 1024 * 1024;
/** Between two pages, however late they are, and after one that failed: commits go first. */
const PAGE_GAP_MS = 50;
const FAILURE_GAP_MS = 5000;

export interface RedisAuditOptions {
  readonly namespace: string;
  readonly store: SnapshotStore;
  /** Every key is looked at once in this time, one page after the other. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

export interface RedisAuditReport {
  /** Keys that Redis should hold, without the head, which every commit compares. */
  readonly keys: number;
  /** Found since the process started. */
  readonly differences: number;
  /** When every key had been looked at once more, milliseconds since the epoch. */
  readonly completedAtMs: number | undefined;
}

/**
 * Compares what Redis holds of a namespace with what was written there, by hashes: of each key this remembers 40
 * characters and no value. It knows of nothing that is under way, so it is asked between two commits.
 */
export interface RedisAudit {
  /** Forgets everything: after a claim it is not known what is there. */
  reset(): void;
  /** These were written, at `sinceMs` (monotonic) or later. */
  wrote(writes: readonly Write[], sinceMs: number): void;
  /** What this key holds is not known. */
  forget(key: string): void;
  /** When the next page is due, monotonic; Infinity before anything was written. */
  dueAtMs(): number;
  /** Looks at the next page. The keys that differ, or "moved" when the head is not that of `guard`. */
  checkPage(guard: HeadGuard): Promise<readonly string[] | "moved">;
  report(): RedisAuditReport;
}

interface Written {
  readonly fingerprint: string;
  readonly bytes: number;
  /** Monotonic; from then on the key may be gone. */
  readonly expiresAtMs: number;
}

/** One look at every key: a page is due every `spacingMs`. */
interface Round {
  readonly startedAtMs: number;
  readonly spacingMs: number;
  readonly pages: readonly (readonly string[])[];
  readonly done: number;
}

export function createRedisAudit(options: RedisAuditOptions): RedisAudit {
  const { namespace, store, intervalMs, clock, random } = options;
  const written = new Map<string, Written>();
  let round: Round | undefined;
  let startsAtMs = Infinity;
  let restUntilMs = 0;
  let differences = 0;
  let completedAtMs: number | undefined;

  function newRound(nowMs: number): Round {
    const pages: string[][] = [[]];
    let bytes = 0;
    for (const [key, entry] of written) {
      if (entry.expiresAtMs <= nowMs) {
        written.delete(key);
        continue;
      }
      let page = pages.at(-1) as string[];
      if (page.length === PAGE_KEYS_MAX || (page.length > 0 && bytes + entry.bytes > PAGE_BYTES_MAX)) {
        pages.push((page = []));
        bytes = 0;
      }
      page.push(key);
      bytes += entry.bytes;
    }
    return { startedAtMs: nowMs, spacingMs: intervalMs / pages.length, pages, done: 0 };
  }

  return {
    reset() {
      written.clear();
      round = undefined;
      startsAtMs = Infinity;
    },
    wrote(writes, sinceMs) {
      for (const write of writes) {
        const { key, value, expiresInMs = Infinity } = write;
        const bytes = Buffer.byteLength(value);
        written.set(key, { fingerprint: fingerprintOf(write), bytes, expiresAtMs: sinceMs + expiresInMs });
      }
      // Not all namespaces, and not all publishers, at the same moment.
      if (startsAtMs === Infinity && written.size > 0) startsAtMs = clock.monotonic() + random() * intervalMs;
    },
    forget: (key) => void written.delete(key),
    dueAtMs() {
      const plannedMs = round ? round.startedAtMs + round.done * round.spacingMs : startsAtMs;
      return Math.max(plannedMs, restUntilMs);
    },
    async checkPage(guard) {
      const startedMs = clock.monotonic();
      round ??= newRound(startedMs);
      const { pages, done, startedAtMs } = round;
      const keys = (pages[done] ?? []).filter((key) => written.has(key));
      const found = await readFingerprints(store, headKey(namespace), guard, keys).catch((error: unknown) => {
        restUntilMs = clock.monotonic() + FAILURE_GAP_MS;
        throw error;
      });
      restUntilMs = clock.monotonic() + PAGE_GAP_MS;
      if (found === "moved") return found;
      if (done + 1 < pages.length) {
        round = { ...round, done: done + 1 };
      } else {
        round = undefined;
        startsAtMs = startedAtMs + intervalMs;
        completedAtMs = clock.now();
      }
      const differing = keys.filter((key, index) => {
        const entry = written.get(key) as Written;
        return found[index] !== entry.fingerprint && clock.monotonic() < entry.expiresAtMs;
      });
      differences += differing.length;
      // Told once: what mends it writes it again, and so makes it known again.
      for (const key of differing) written.delete(key);
      return differing;
    },
    report: () => ({ keys: written.size, differences, completedAtMs }),
  };
}
