import { serviceOfKey } from "../../contract/redis-keys.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { unsealed, type Seal } from "../signing/seal.ts";
import { createBacklog } from "./backlog.ts";
import { WAIT_ASKED_MS_MAX } from "./bounded-store.ts";
import type { CatalogState } from "./catalog-state.ts";
import { claimNamespace, type Leadership } from "./claim.ts";
import { planCommit } from "./commit-plan.ts";
import { stepCommit, type Commit } from "./commit-step.ts";
import type { Departure } from "./guard/departure.ts";
import { createGuard, type Guard, type GuardHooks } from "./guard/guard.ts";
import type { GuardSettings } from "./guard/limits.ts";
import { createTakeover } from "./guard/takeover.ts";
import type { Published } from "./published.ts";
import { believeAll, type Belief } from "./belief.ts";
import { createRedisAudit, type RedisAuditReport } from "./redis-audit.ts";
import { createRenewals, noRenewals } from "./renewals.ts";
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

export interface PublishHooks extends GuardHooks {
  readonly onPublish?: (result: PublishResult, services: number) => void;
  /** From the oldest event of etcd in a commit to the commit. */
  readonly onPublishLag?: (seconds: number) => void;
  /** A key in Redis was found to differ from what was written there; it is written again. */
  readonly onRedisDifference?: (of: "head" | "catalog" | "snapshot") => void;
}

export interface NamespacePublisherOptions extends PublishHooks {
  readonly namespace: string;
  readonly catalog: CatalogState;
  readonly store: SnapshotStore;
  readonly adopt: boolean;
  /** In which every key in Redis is compared once with what was written there. */
  readonly auditIntervalMs: number;
  readonly guardSettings: GuardSettings;
  /** Signs what is published; left out, nothing does. */
  readonly seal?: Seal;
  /** What of an earlier leader is gone on from; left out, everything. */
  readonly belief?: Belief;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
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
  /** Of the instances, those that are held back. */
  readonly held: number;
  /** RFC 3339. */
  readonly lastCommitAt?: string;
  /** Of the tries since the last success, or which services are left out. */
  readonly lastError?: string;
  readonly audit: RedisAuditReport;
}

/** Publishes one namespace for as long as its process leads. */
export interface NamespacePublisher {
  /** Claims, fills, and publishes until `signal` aborts or somebody else turns out to lead. One at a time. */
  run(leadership: Leadership, signal: AbortSignal): Promise<"stopped" | "deposed">;
  /**
   * These services differ from what was published, and this has departed from them unplanned. Ignored while nothing
   * runs: a claim compares with what is published, and writes everything.
   */
  changed(services: Iterable<string>, departures?: readonly Departure[]): void;
  /** Commits the head, with the moment of the last proof that the watch is current. */
  beat(confirmedAt: number): void;
  /** Claims a new epoch, and fills again. */
  reclaim(): void;
  /** What is held back, and why. Whoever changes it says so by `changed`. */
  readonly guard: Guard;
  /** Resolves once nothing is left to publish, or nothing can be: no run, or a refused claim. */
  flushed(): Promise<void>;
  status(): NamespaceStatus;
}

export function createNamespacePublisher(options: NamespacePublisherOptions): NamespacePublisher {
  const { seal = unsealed, belief = believeAll } = options;
  const { namespace, catalog, store, adopt, clock, random, log, onPublish, onPublishLag, onRedisDifference } = options;
  const waker = createWaker();
  const backlog = createBacklog();
  const audit = createRedisAudit({ namespace, store, intervalMs: options.auditIntervalMs, clock, random });
  const renewals = options.seal ? createRenewals({ namespace, clock, random }) : noRenewals;
  let state: State = { type: "unclaimed" };
  let running = false;
  let beatDue = false;
  /** A commit was refused. If we still lead, nobody else had a right to that head. */
  let headDiffers = false;
  let reclaimDue = false;
  let confirmedAt = 0;
  let catalogWrittenAtMs = -Infinity;
  /** Of the last commit or claim; what a state holds is what it goes on from. */
  let published: Published | undefined;
  /** The last revision this process published: readers may hold it, though Redis has lost it. */
  let revisionOwn = 0;
  let lastCommitAtMs: number | undefined;
  let lastError: string | undefined;
  const guard = createGuard({
    ...options,
    settings: options.guardSettings,
    published: () => published?.head.instances ?? 0,
  });
  const takeover = createTakeover(guard, { namespace, store, catalog, belief, clock, log });
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
    const own = published;
    const epochOwn = own?.head.epoch ?? 0;
    const result = await claimNamespace({ namespace, store, leadership, epochOwn, adopt, seal, belief, clock, log });
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
        if (result.namesLost) {
          // What we have published, or seen end, may be there without a name: it would be served for ever.
          const names = [...(own?.services.keys() ?? []), ...catalog.departedServices(namespace)];
          for (const name of names) if (!published.services.has(name)) published.services.set(name, 0);
        }
        audit.reset();
        if (headDiffers) onRedisDifference?.("head");
        headDiffers = false;
        const { epoch, revision, complete } = published.head;
        log.info({ namespace, epoch, revision, complete }, "Claimed the namespace in Redis; filling it");
        // A restored etcd gives back a term that had ended. An epoch below ours is of a Redis that went back.
        if (own && (result.epochFound ?? 0) > own.head.epoch) takeover.begin();
        await takeover.compare(published.services.keys(), result.lastBeatMs);
        const nowMs = clock.monotonic();
        const services = [...published.services.keys(), ...catalog.services(namespace), ...guard.services()];
        const changed = new Map(services.map((service) => [service, nowMs]));
        state = { type: "filling", commit: plan(published, "fill", changed) };
      }
    }
  }

  /** Waits for something to publish, and plans it; looks at a page of what is there when that is due. */
  async function planNext(from: Published, signal: AbortSignal): Promise<void> {
    const nowMs = clock.monotonic();
    const due = backlog.due(nowMs);
    if (audit.dueAtMs() <= nowMs) return checkPage(from);
    if (due.size > 0 || beatDue) {
      if (renewals.takeCatalog()) from = withCatalogDue(from);
      state = { type: "live", published: from, commit: plan(from, "changes", due) };
      return;
    }
    if (!backlog.isWaiting()) endFlushes();
    const untilMs = Math.min(backlog.nextAtMs(), audit.dueAtMs());
    const cancel = untilMs === Infinity ? undefined : clock.after(untilMs - nowMs, () => waker.wake());
    await waker.wait(signal);
    cancel?.();
    if (backlog.due(clock.monotonic()).size > 0) await sleep(clock, GROUPING_MS, signal);
  }

  /** Plans with the catalog as it is when a service's turn comes: whatever has changed until then is in it. */
  function plan(from: Published, type: "fill" | "changes", changed: ReadonlyMap<string, number>): Commit {
    const commitPlan = planCommit({
      published: from,
      type,
      changed: changed.keys(),
      instancesOf(service) {
        backlog.take(service);
        return guard.instances(service);
      },
      holdsOf: (service) => guard.holds(service),
      etcdRevision: catalog.revision(),
      revisionMin: revisionOwn + 1,
      nowMs: clock.now(),
      // What the last leader had confirmed, we have seen only once our watch is where its was.
      confirmedAt:
        catalog.revision() < from.head.etcdRevision ? confirmedAt : Math.max(confirmedAt, from.head.confirmedAt),
      catalogDue: clock.monotonic() - catalogWrittenAtMs >= CATALOG_INTERVAL_MS,
      seal,
    });
    let receivedAtMs: number | undefined;
    if (type === "changes") for (const at of changed.values()) receivedAtMs = Math.min(at, receivedAtMs ?? at);
    beatDue = false;
    return { plan: commitPlan, requestedAtMs: clock.monotonic(), failures: 0, receivedAtMs };
  }

  /** Makes the next request of a commit. Nothing else moves the state while one is under way. */
  async function advance(under: Commit): Promise<void> {
    const { plan: commitPlan, receivedAtMs } = under;
    const outcome = await stepCommit(under, { namespace, store, backlog, audit, renewals, clock, log });
    if ("error" in outcome) onPublish?.("failed", commitPlan.changes());
    switch (outcome.type) {
      case "next":
      case "failed":
        state = { ...(state as Extract<State, { commit: unknown }>), commit: outcome.commit };
        if (outcome.type === "failed") throw outcome.error;
        return;
      case "refused":
        onPublish?.("refused", commitPlan.changes());
        log.warn({ namespace }, "A commit was refused, since Redis holds another head");
        headDiffers = true;
        state = { type: "unclaimed" };
        return;
      case "done":
        published = outcome.published;
        state = { type: "live", published, commit: undefined };
        revisionOwn = published.head.revision;
        lastCommitAtMs = clock.now();
        if (commitPlan.writesCatalog()) catalogWrittenAtMs = clock.monotonic();
        onPublish?.("committed", commitPlan.changes());
        if (receivedAtMs !== undefined) onPublishLag?.((clock.monotonic() - receivedAtMs) / 1000);
    }
  }

  /** Has whatever is not as it was written written again. */
  async function checkPage(from: Published): Promise<void> {
    const differing = await audit.checkPage(from.guard);
    if (differing === "moved") {
      // As a refused commit: the claim finds out whose head it is.
      headDiffers = true;
      state = { type: "unclaimed" };
      return;
    }
    const nowMs = clock.monotonic();
    let now = from;
    for (const key of differing) {
      log.warn({ namespace, key }, "Redis holds something else than was written, and is written again");
      const service = serviceOfKey(namespace, key);
      onRedisDifference?.(service === undefined ? "catalog" : "snapshot");
      if (service === undefined) {
        now = withCatalogDue(now);
        beatDue = true;
      } else {
        // Also where it has ended: its name must be known for its tombstone to be written once more.
        if (!now.services.has(service)) now = withName(now, service);
        backlog.add([service], nowMs);
      }
    }
    state = { type: "live", published: now, commit: undefined };
  }

  /** The next commit writes the catalog, though it tells nothing new. */
  function withCatalogDue(from: Published): Published {
    catalogWrittenAtMs = -Infinity;
    return { ...from, catalogStale: true };
  }

  /** The names in order were those without it: a catalog made of them would never have it. */
  function withName({ names: _names, ...from }: Published, service: string): Published {
    from.services.set(service, 0);
    return from;
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

  function markChanged(services: Iterable<string>): void {
    backlog.add(services, clock.monotonic());
    waker.wake();
  }

  return {
    async run(leadership, signal) {
      const backoff = createBackoff({ ...RETRY_BACKOFF, random });
      running = true;
      takeover.begin();
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
          const askedMs = error instanceof FingerpostError ? 1000 * (error.retryAfterSeconds ?? 0) : 0;
          await sleep(clock, Math.max(backoff.next(), Math.min(askedMs, WAIT_ASKED_MS_MAX)), signal);
        }
      }
      running = false;
      const end = isDeposed() ? "deposed" : "stopped";
      state = { type: "unclaimed" };
      backlog.clear();
      audit.reset();
      guard.reset();
      endFlushes();
      return end;
    },
    changed(services, departures = []) {
      if (!running) return;
      const names = [...services];
      takeover.changed(names, departures);
      markChanged(names);
    },
    beat(confirmed) {
      confirmedAt = confirmed;
      beatDue = true;
      markChanged([...guard.tick(confirmed), ...renewals.takeServices()]);
    },
    reclaim() {
      reclaimDue = true;
      waker.wake();
    },
    guard,
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
      held: guard.size(),
      ...(lastCommitAtMs === undefined ? {} : { lastCommitAt: new Date(lastCommitAtMs).toISOString() }),
      ...lastErrorOf(lastError ?? backlog.trouble()),
      audit: audit.report(),
    }),
  };
}

function lastErrorOf(text: string | undefined): Pick<NamespaceStatus, "lastError"> {
  return text === undefined ? {} : { lastError: text };
}
