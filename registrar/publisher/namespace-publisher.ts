import { headKey } from "../../contract/redis-keys.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { CatalogState } from "./catalog-state.ts";
import { claimNamespace, type Leadership } from "./claim.ts";
import { planCommit, type CommitPlan, type Published } from "./commit-plan.ts";
import { commit } from "./commit-script.ts";
import { instancesToPublish } from "./snapshot-builder.ts";
import type { SnapshotStore } from "./store.ts";
import { createWaker } from "./waker.ts";

/** Changes that come within this time are one commit. Longer saves commits, and every change is later by it. */
export const GROUPING_MS = 25;
/** Least time between two catalogs that are written only because counts or names are behind the ring. */
export const CATALOG_INTERVAL_MS = 5000;
/** Between tries while Redis, or etcd during a claim, cannot be reached. Low, since one writer does no harm. */
const RETRY_BACKOFF = { baseMs: 100, capMs: 2000 };
/** About when a refused claim is tried again. */
const REFUSED_RETRY_MS = 5000;

/** What a try to commit came to; `services` is how many it publishes anew, 0 for a heartbeat. */
export type PublishResult = "committed" | "refused" | "failed";

export interface PublishHooks {
  readonly onPublish?: (result: PublishResult, services: number) => void;
  /** From the oldest event of etcd in a commit to the commit. */
  readonly onPublishLag?: (seconds: number) => void;
}

export interface NamespacePublisherOptions extends PublishHooks {
  readonly namespace: string;
  readonly catalog: CatalogState;
  readonly store: SnapshotStore;
  readonly adopt: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A commit under way: it is tried again as it is until its outcome is known. */
interface Commit {
  readonly plan: CommitPlan;
  readonly chunksDone: number;
  /** When etcd told of the oldest change in it, monotonic; undefined for a heartbeat or a fill. */
  readonly receivedAtMs: number | undefined;
}

/**
 * `unclaimed`: until a claim succeeds or is refused. `refused`: until the time for another try. `filling`: until all
 * snapshots are written, or the head turns out to be another's. `live`: until a commit is refused. A refusal and a
 * `reclaim` lead back to `unclaimed`. `deposed`: until the end of the run, which is the next thing.
 */
type State =
  | { readonly type: "unclaimed" }
  | { readonly type: "refused" }
  | { readonly type: "filling"; readonly commit: Commit }
  | { readonly type: "live"; readonly published: Published; readonly commit: Commit | undefined }
  | { readonly type: "deposed" };

export interface NamespaceStatus {
  readonly namespace: string;
  readonly state: State["type"];
  readonly epoch: number;
  readonly revision: number;
  readonly services: number;
  readonly instances: number;
  /** RFC 3339. */
  readonly lastCommitAt?: string;
  /** Of the tries since the last success. */
  readonly lastError?: string;
}

/** Publishes one namespace for as long as its process leads. */
export interface NamespacePublisher {
  /** Claims, fills, and publishes until `signal` aborts or somebody else turns out to lead. One at a time. */
  run(leadership: Leadership, signal: AbortSignal): Promise<"stopped" | "deposed">;
  /** These services differ from what was published. Ignored while nothing runs: a claim writes everything. */
  changed(services: Iterable<string>): void;
  /** Commits the head, with the moment of the last proof that the watch is current. */
  beat(confirmedAt: number): void;
  /** Claims a new epoch, and fills again. */
  reclaim(): void;
  /** Resolves once nothing is left to publish, or nothing can be: no run, or a refused claim. */
  flushed(): Promise<void>;
  status(): NamespaceStatus;
}

export function createNamespacePublisher(options: NamespacePublisherOptions): NamespacePublisher {
  const { namespace, catalog, store, adopt, clock, random, log, onPublish, onPublishLag } = options;
  const waker = createWaker();
  /** By service, when etcd told of the first change that is not in a commit yet. One entry a service. */
  const dirty = new Map<string, number>();
  let state: State = { type: "unclaimed" };
  let running = false;
  let beatDue = false;
  let reclaimDue = false;
  let confirmedAt = 0;
  let catalogWrittenAtMs = -Infinity;
  /** Of the last commit or claim; what a state holds is what it goes on from. */
  let published: Published | undefined;
  /** The last revision this process published: readers may hold it, though Redis has lost it. */
  let revisionOwn = 0;
  let lastCommitAtMs: number | undefined;
  let lastError: string | undefined;
  const flushWaiters: (() => void)[] = [];

  /** One move of the state machine. */
  async function step(leadership: Leadership, signal: AbortSignal): Promise<void> {
    if (reclaimDue) {
      reclaimDue = false;
      state = { type: "unclaimed" };
    }
    switch (state.type) {
      case "unclaimed":
        return claim(leadership);
      case "refused":
        await sleep(clock, REFUSED_RETRY_MS * (0.5 + random()), signal);
        state = { type: "unclaimed" };
        return;
      case "filling":
        return advance(state.commit);
      case "live":
        return state.commit ? advance(state.commit) : planNext(state.published, signal);
      case "deposed":
        return;
    }
  }

  async function claim(leadership: Leadership): Promise<void> {
    const epochOwn = published?.head.epoch ?? 0;
    const result = await claimNamespace({ namespace, store, leadership, epochOwn, adopt, clock, log });
    switch (result.type) {
      case "deposed":
        state = { type: "deposed" };
        return;
      case "contended":
        throw new Error("another head was written during the claim");
      case "refused":
        if (lastError !== result.reason) log.error({ namespace }, `Not publishing: ${result.reason}`);
        lastError = result.reason;
        state = { type: "refused" };
        // There is nothing to wait for: what cannot be claimed cannot be published.
        endFlushes();
        return;
      case "claimed": {
        published = result.published;
        const { epoch, revision, complete } = published.head;
        log.info({ namespace, epoch, revision, complete }, "Claimed the namespace in Redis; filling it");
        const changed = new Set([...published.services.keys(), ...catalog.services(namespace)]);
        state = { type: "filling", commit: plan(published, "fill", changed) };
      }
    }
  }

  /** Waits for something to publish, and plans it. */
  async function planNext(from: Published, signal: AbortSignal): Promise<void> {
    if (dirty.size === 0 && !beatDue) {
      endFlushes();
      await waker.wait(signal);
      if (dirty.size > 0) await sleep(clock, GROUPING_MS, signal);
    } else {
      state = { type: "live", published: from, commit: plan(from, "changes", [...dirty.keys()]) };
    }
  }

  /** Plans with the catalog as it is now: whatever was dirty until now is in it. */
  function plan(from: Published, type: "fill" | "changes", changed: Iterable<string>): Commit {
    const commitPlan = planCommit({
      published: from,
      type,
      changed,
      instancesOf: (service) => instancesToPublish(catalog.registrations(namespace, service)),
      etcdRevision: catalog.revision(),
      revisionMin: revisionOwn + 1,
      nowMs: clock.now(),
      confirmedAt: Math.max(confirmedAt, from.head.confirmedAt),
      catalogDue: clock.monotonic() - catalogWrittenAtMs >= CATALOG_INTERVAL_MS,
    });
    let receivedAtMs: number | undefined;
    if (type === "changes") for (const at of dirty.values()) receivedAtMs = Math.min(at, receivedAtMs ?? at);
    dirty.clear();
    beatDue = false;
    return { plan: commitPlan, chunksDone: 0, receivedAtMs };
  }

  /** Makes the next chunk of a commit. */
  async function advance(under: Commit): Promise<void> {
    const { plan: commitPlan, chunksDone } = under;
    const isLast = chunksDone === commitPlan.chunks.length - 1;
    const result = await commit(store, {
      headKey: headKey(namespace),
      guard: commitPlan.guard,
      writes: commitPlan.chunks[chunksDone] ?? [],
      ...(isLast ? { head: commitPlan.headText } : {}),
    }).catch((error: unknown) => {
      onPublish?.("failed", commitPlan.changes);
      throw error;
    });
    if (result === "refused") {
      onPublish?.("refused", commitPlan.changes);
      log.warn({ namespace }, "A commit was refused, since Redis holds another head");
      state = { type: "unclaimed" };
    } else if (isLast) {
      finish(under);
    } else {
      // Still the state it was taken from: nothing else moves it while a commit is under way.
      state = { ...(state as Extract<State, { commit: unknown }>), commit: { ...under, chunksDone: chunksDone + 1 } };
    }
  }

  function finish({ plan: commitPlan, receivedAtMs }: Commit): void {
    published = commitPlan.result;
    state = { type: "live", published, commit: undefined };
    revisionOwn = published.head.revision;
    lastCommitAtMs = clock.now();
    if (commitPlan.writesCatalog) catalogWrittenAtMs = clock.monotonic();
    onPublish?.("committed", commitPlan.changes);
    if (receivedAtMs !== undefined) onPublishLag?.((clock.monotonic() - receivedAtMs) / 1000);
  }

  function failed(error: unknown): void {
    const message = messageOf(error);
    // An outage is told once, not with every try.
    if (lastError !== message) log.warn({ namespace, state: state.type }, `Publishing failed: ${message}`);
    lastError = message;
  }

  function endFlushes(): void {
    for (const resolve of flushWaiters.splice(0)) resolve();
  }

  const isDeposed = () => state.type === "deposed";

  return {
    async run(leadership, signal) {
      const backoff = createBackoff({ ...RETRY_BACKOFF, random });
      running = true;
      while (!signal.aborted && !isDeposed()) {
        try {
          await step(leadership, signal);
          backoff.reset();
          if (state.type === "live" && lastError !== undefined) {
            log.info({ namespace }, "Publishing again");
            lastError = undefined;
          }
        } catch (error) {
          failed(error);
          await sleep(clock, backoff.next(), signal);
        }
      }
      running = false;
      const end = isDeposed() ? "deposed" : "stopped";
      state = { type: "unclaimed" };
      dirty.clear();
      endFlushes();
      return end;
    },
    changed(services) {
      if (!running) return;
      const receivedAtMs = clock.monotonic();
      for (const service of services) if (!dirty.has(service)) dirty.set(service, receivedAtMs);
      waker.wake();
    },
    beat(confirmed) {
      confirmedAt = confirmed;
      beatDue = true;
      waker.wake();
    },
    reclaim() {
      reclaimDue = true;
      waker.wake();
    },
    flushed() {
      if (!running || state.type === "refused") return Promise.resolve();
      // The loop answers once it is about to wait: an answer from here could miss a commit that is being planned.
      waker.wake();
      return new Promise((resolve) => flushWaiters.push(resolve));
    },
    status: () => ({
      namespace,
      state: state.type,
      epoch: published?.head.epoch ?? 0,
      revision: published?.head.revision ?? 0,
      services: published?.head.services ?? 0,
      instances: published?.head.instances ?? 0,
      ...(lastCommitAtMs === undefined ? {} : { lastCommitAt: new Date(lastCommitAtMs).toISOString() }),
      ...(lastError === undefined ? {} : { lastError }),
    }),
  };
}
