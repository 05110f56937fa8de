import { ETCD_PREFIX, parseInstanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { decodeRegistration, type Registration } from "../../contract/registration.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { PAGE_ENTRIES_MAX } from "../etcd/list.ts";
import { EtcdError, type Etcd, type KeyValue, type WatchEvent } from "../etcd/port.ts";

/** Every value is read again once in so many intervals, page by page. A count costs etcd far less than its values. */
const INTERVALS_A_PASS = 12;

export interface EtcdAuditOptions {
  readonly etcd: Pick<Etcd, "count" | "list">;
  /** Keys are counted once in this time. */
  readonly intervalMs: number;
  /** What is held of an instance. */
  readonly held: (ref: InstanceRef) => Registration | undefined;
  /** Something differs: everything is to be listed again. */
  readonly onDifference: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface EtcdAuditReport {
  /** Below our prefix, as the watch tells. */
  readonly keys: number;
  /** Found since the process started; each had everything listed again. */
  readonly differences: number;
  /** Milliseconds since the epoch, of the last time that the counts agreed, and that a pass over all values was over. */
  readonly countedAtMs: number | undefined;
  readonly comparedAtMs: number | undefined;
}

/**
 * Compares what the watch has told with what etcd has: the number of keys, at one revision; and the values, a page at
 * a time. A watch that lost an event would otherwise be wrong for ever, and not know it.
 */
export interface EtcdAudit {
  /** As the follower's sink: what was listed, and what changed since. */
  restore(keys: number, revision: number): void;
  apply(events: readonly WatchEvent[], revision: number): void;
  /** Until `signal` aborts. One at a time. */
  run(signal: AbortSignal): Promise<void>;
  report(): EtcdAuditReport;
}

export function createEtcdAudit(options: EtcdAuditOptions): EtcdAudit {
  const { etcd, intervalMs, held, onDifference, clock, random, log } = options;
  let keys = 0;
  let revision = 0;
  /** Of which the watch has told since the question under way was asked. */
  let touched: Set<string> | undefined;
  let listings = 0;
  /** How many there were when the last difference was found: until the next one nothing new can be found. */
  let listingsAtDifference = -1;
  let differences = 0;
  let countedAtMs: number | undefined;
  let comparedAtMs: number | undefined;
  /** Where the pass goes on. */
  let from = ETCD_PREFIX;

  function differs(what: object, text: string): void {
    differences++;
    listingsAtDifference = listings;
    log.warn(what, `${text}. Listing everything again`);
    onDifference();
  }

  /** At one revision, so that it does not matter what happens meanwhile. */
  async function count(): Promise<void> {
    const expected = { keys, revision };
    const found = await etcd.count(ETCD_PREFIX, expected.revision);
    if (found !== expected.keys) differs({ ...expected, found }, "etcd has another number of keys than its watch told");
    else countedAtMs = clock.now();
  }

  /** The next page of values. */
  async function compare(signal: AbortSignal): Promise<void> {
    const listing = listings;
    touched = new Set();
    for await (const page of etcd.list(ETCD_PREFIX, signal, from)) {
      if (listing !== listings) return;
      const differing = page.entries.find((entry) => isSettled(entry) && isDifferent(entry));
      if (differing) {
        differs({ key: differing.key }, "A value in etcd is not the one that the watch told");
        return;
      }
      const last = page.entries.at(-1);
      // One page is all there is to a turn. The next one goes on behind it; when nothing is there, the pass is over.
      from = last ? `${last.key}\0` : ETCD_PREFIX;
      if (!last) comparedAtMs = clock.now();
      return;
    }
  }

  /** Nothing has happened to it that one side knows and the other does not. */
  const isSettled = ({ key, modRevision }: KeyValue) => modRevision <= revision && !touched?.has(key);

  function isDifferent({ key, value }: KeyValue): boolean {
    const ref = parseInstanceKey(key);
    if (!ref) return false;
    let registration: Registration;
    try {
      registration = decodeRegistration(value, ref.instance);
    } catch {
      // What is no registration is left out of the catalog as well, and counted there.
      return held(ref) !== undefined;
    }
    return JSON.stringify(registration) !== JSON.stringify(held(ref));
  }

  return {
    restore(listed, at) {
      keys = listed;
      revision = at;
      listings++;
    },
    apply(events, at) {
      for (const { type, entry } of events) {
        if (type === "delete") keys--;
        else if (entry.createRevision === entry.modRevision) keys++;
        touched?.add(entry.key);
      }
      revision = at;
    },
    async run(signal) {
      let countAtMs = clock.monotonic() + random() * intervalMs;
      let compareAtMs = clock.monotonic() + random() * intervalMs;
      while (!signal.aborted) {
        await sleep(clock, Math.max(0, Math.min(countAtMs, compareAtMs) - clock.monotonic()), signal);
        if (signal.aborted) return;
        try {
          const nowMs = clock.monotonic();
          touched = undefined;
          if (nowMs >= countAtMs) {
            countAtMs = nowMs + intervalMs;
            if (listings === listingsAtDifference) continue;
            await count();
          } else {
            // And the one that finds nothing more.
            const turns = Math.ceil(keys / PAGE_ENTRIES_MAX) + 1;
            compareAtMs = nowMs + (INTERVALS_A_PASS * intervalMs) / turns;
            if (listings !== listingsAtDifference) await compare(signal);
          }
        } catch (error) {
          // The next turn comes; an etcd that is away is told of by the heartbeat, and this revision may be compacted.
          const isCompacted = error instanceof EtcdError && error.code === "compacted";
          log[isCompacted ? "debug" : "info"](`etcd could not be compared with its watch: ${messageOf(error)}`);
        }
      }
    },
    report: () => ({ keys, differences, countedAtMs, comparedAtMs }),
  };
}
