import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { hasLandmark, landmarkOfEvents, landmarkOfList, type Landmark } from "./landmark.ts";
import { EtcdError, type Etcd, type KeyValue, type WatchEvent } from "./port.ts";

/** Between two tries to list or to watch. */
const RETRY_BACKOFF = { baseMs: 250, capMs: 5000 };
/** A watch that lasted this long was well: what follows it starts with a short delay again. */
const WELL_MS = 10_000;

/** Takes what etcd holds below a prefix. Called in order of revision and never twice for one; must not throw. */
export interface FollowerSink {
  /**
   * A part of a list, as it arrives, so that nobody has to hold the whole of it. With the first page whatever was told of
   * a list before that came to no `restore` is void. It counts from the `restore` on.
   */
  page(entries: readonly KeyValue[], isFirst: boolean): void;
  /**
   * Everything, as of `revision`: what was not in the pages is not there. `reverted`: it does not follow from what the
   * sink was given before, since etcd was restored from a backup.
   */
  restore(revision: number, reverted: boolean): void;
  /** Whole revisions; `revision` is the last of them. */
  apply(events: readonly WatchEvent[], revision: number): void;
}

/** Why the follower had to begin a watch, or a list, again. */
export type RestartReason = "ended" | "compacted" | "reverted" | "requested" | "failed";

export interface FollowerOptions {
  readonly etcd: Pick<Etcd, "get" | "list" | "watch">;
  readonly prefix: string;
  readonly sink: FollowerSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onRestart?: (reason: RestartReason) => void;
}

/** A list, and one watch from there, for as long as it is open; without a gap, whatever happens to etcd meanwhile. */
export interface Follower {
  /** Begins to follow. Once only. */
  start(): void;
  /** Lists again as soon as may be: the sink gets a `restore`, and is told if etcd was `reverted`. */
  relist(reason: "requested" | "reverted"): void;
  /** The last revision that the sink was given; 0 before the first. */
  revision(): number;
  /** The sink has been given a whole list. Stays true while etcd is away. */
  isReady(): boolean;
  close(): Promise<void>;
}

/** How a list or watch ended. */
type WatchEnd = { readonly reason: RestartReason; readonly detail: string };

export function createFollower(options: FollowerOptions): Follower {
  const { etcd, prefix, sink, clock, random, log, onRestart } = options;
  const backoff = createBackoff({ ...RETRY_BACKOFF, random });
  const closing = new AbortController();
  let running: Promise<void> | undefined;
  let revision = 0;
  /** Of `revision`; undefined when nothing that we know happened then. */
  let landmark: Landmark | undefined;
  /** The sink has yet to hear that etcd was restored from a backup. */
  let reverted = false;
  /** What the sink has is not, or not surely, whole: a watch alone cannot go on from it. */
  let mustList = true;
  let ready = false;
  let watchingSinceMs: number | undefined;
  let failures = 0;
  /** Ends the list or watch under way. */
  let interrupt: ((end: WatchEnd) => void) | undefined;

  async function follow(): Promise<void> {
    while (!closing.signal.aborted) {
      watchingSinceMs = undefined;
      const { reason, detail } = await step();
      if (closing.signal.aborted) return;
      if (reason === "compacted" || reason === "reverted") mustList = true;
      if (reason === "reverted") reverted = true;
      onRestart?.(reason);
      if (watchingSinceMs !== undefined && clock.monotonic() - watchingSinceMs >= WELL_MS) backoff.reset();
      const delayMs = reason === "requested" ? 0 : backoff.next();
      // An outage is told once, not with every try.
      const level = reason === "reverted" ? "warn" : failures === 0 ? "info" : "debug";
      failures++;
      log[level]({ reason, revision, retryInMs: Math.round(delayMs) }, `Following etcd again: ${detail}`);
      await sleep(clock, delayMs, closing.signal);
    }
  }

  /** Lists if need be, then watches until that ends. */
  async function step(): Promise<WatchEnd> {
    try {
      if (mustList || landmark === undefined) {
        await list();
      } else if (!(await hasLandmark(etcd, landmark))) {
        // Read before each watch, which also renews a token that a watch would only call a denied permission.
        return { reason: "reverted", detail: `etcd's revision ${revision} is not the one that was followed` };
      }
      return mustList ? { reason: "requested", detail: "a list was asked for" } : await watch();
    } catch (error) {
      return { reason: reasonOf(error), detail: messageOf(error) };
    }
  }

  /** Restores the sink, unless a new list is asked for meanwhile. */
  async function list(): Promise<void> {
    const stop = new AbortController();
    interrupt = () => stop.abort();
    mustList = false;
    try {
      let isFirst = true;
      let listRevision = 0;
      let found: Landmark | undefined;
      for await (const page of etcd.list(prefix, stop.signal)) {
        sink.page(page.entries, isFirst);
        isFirst = false;
        listRevision = page.revision;
        found ??= landmarkOfList(page.entries, page.revision);
      }
      if (stop.signal.aborted) return;
      sink.restore(listRevision, reverted || listRevision < revision);
      reverted = false;
      revision = listRevision;
      landmark = found;
      ready = true;
    } catch (error) {
      mustList = true;
      throw error;
    } finally {
      interrupt = undefined;
    }
  }

  function watch(): Promise<WatchEnd> {
    return new Promise((resolve) => {
      const finish = (end: WatchEnd) => {
        interrupt = undefined;
        stop();
        resolve(end);
      };
      // From the last event that was delivered, never from a header: while etcd catches up a header is ahead of events.
      const stop = etcd.watch(prefix, revision + 1, {
        onCreated() {
          watchingSinceMs = clock.monotonic();
          failures = 0;
          log.debug({ from: revision + 1 }, "Watching etcd");
        },
        onEvents(events) {
          try {
            const last = deliver(events);
            if (last !== undefined) finish(last);
          } catch (error) {
            // The sink took part of it, or none: only a list makes it whole.
            mustList = true;
            log.error({ err: error }, "The sink failed on an event from etcd");
            finish({ reason: "failed", detail: messageOf(error) });
          }
        },
        onEnd({ compactRevision, error }) {
          finish(
            compactRevision === undefined
              ? { reason: "ended", detail: error?.message ?? "the watch ended" }
              : { reason: "compacted", detail: `compacted to ${compactRevision}` },
          );
        },
      });
      interrupt = finish;
    });
  }

  /** Gives events to the sink; returns why the watch has to end, if it has to. */
  function deliver(events: readonly WatchEvent[]): WatchEnd | undefined {
    const first = events[0]?.entry.modRevision ?? 0;
    const last = events.at(-1)?.entry.modRevision ?? 0;
    if (first <= revision) return { reason: "reverted", detail: `an event of ${first}, after ${revision}` };
    sink.apply(events, last);
    revision = last;
    landmark = landmarkOfEvents(events);
    return undefined;
  }

  return {
    start() {
      running ??= follow();
    },
    relist(reason) {
      mustList = true;
      reverted ||= reason === "reverted";
      interrupt?.({ reason: "requested", detail: "a list was asked for" });
    },
    revision: () => revision,
    isReady: () => ready,
    async close() {
      closing.abort();
      // Whatever the step under way is at, it does not go on to a watch.
      mustList = true;
      interrupt?.({ reason: "requested", detail: "closing" });
      await running;
    },
  };
}

function reasonOf(error: unknown): RestartReason {
  const code = error instanceof EtcdError ? error.code : undefined;
  if (code === "compacted") return "compacted";
  // A watch from a revision that is not there would only stay silent.
  return code === "future" ? "reverted" : "failed";
}
