import { headKey, serviceOfKey } from "../../contract/redis-keys.ts";
import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import type { Backlog } from "./backlog.ts";
import type { CommitPlan } from "./commit-plan.ts";
import { commit } from "./commit-script.ts";
import type { Published } from "./published.ts";
import type { RedisAudit } from "./redis-audit.ts";
import { isTooLarge } from "./redis-errors.ts";
import type { Renewals } from "./renewals.ts";
import type { SnapshotStore } from "./store.ts";

/** After so many failed tries of a snapshot that is a request by itself, what else there is goes first. */
const OVERSIZED_TRIES_MAX = 3;

/** A commit under way: its request is tried again as it is until the outcome is known. */
export interface Commit {
  readonly plan: CommitPlan;
  /** Since when its request is tried, monotonic, and how often it alone has failed. */
  readonly requestedAtMs: number;
  readonly failures: number;
  /** When etcd told of the oldest change in it, monotonic; undefined for a heartbeat or a fill. */
  readonly receivedAtMs: number | undefined;
}

/**
 * What one try of a request came to. `next`: there is more to do, with `error` when Redis would not take what was tried.
 * `done`: the head is written. `refused`: another head is stored, and the commit is over.
 */
export type CommitStep =
  | { readonly type: "next"; readonly commit: Commit; readonly error?: unknown }
  | { readonly type: "failed"; readonly commit: Commit; readonly error: unknown }
  | { readonly type: "done"; readonly published: Published }
  | { readonly type: "refused" };

export interface CommitParts {
  readonly namespace: string;
  readonly store: SnapshotStore;
  readonly backlog: Backlog;
  readonly audit: RedisAudit;
  readonly renewals: Renewals;
  readonly clock: Pick<Clock, "monotonic">;
  readonly log: Log;
}

/** Tries the next request of a commit, and tells backlog and audit what became of it. */
export async function stepCommit(under: Commit, parts: CommitParts): Promise<CommitStep> {
  const { namespace, store, backlog, audit, renewals, clock } = parts;
  const { plan, requestedAtMs, failures } = under;
  const { writes, head } = plan.request();
  let result: Awaited<ReturnType<typeof commit>>;
  try {
    result = await commit(store, {
      headKey: headKey(namespace),
      guard: plan.guard,
      writes,
      ...(head === undefined ? {} : { head }),
    });
  } catch (error) {
    // A Redis that answers a small question is there, and it is this request that it has no answer to.
    const isItsOwn = plan.isOversized() && (await answers(store));
    const tries = failures + (isItsOwn ? 1 : 0);
    const isHopeless = isTooLarge(error) || tries >= OVERSIZED_TRIES_MAX;
    if (isHopeless && shrink(plan, error, parts)) return { type: "next", commit: anew(under, clock), error };
    return { type: "failed", commit: { ...under, failures: tries }, error };
  }
  if (result === "refused") return { type: "refused" };
  audit.wrote(writes, requestedAtMs);
  renewals.wrote(writes);
  for (const { key, value } of writes) {
    const service = serviceOfKey(namespace, key);
    if (service !== undefined) backlog.written(service, Buffer.byteLength(value), clock.monotonic());
  }
  const published = plan.made();
  return published ? { type: "done", published } : { type: "next", commit: anew(under, clock) };
}

function answers(store: SnapshotStore): Promise<boolean> {
  return store.timeMs().then(
    () => true,
    () => false,
  );
}

function anew(under: Commit, clock: Pick<Clock, "monotonic">): Commit {
  return { ...under, requestedAtMs: clock.monotonic(), failures: 0 };
}

/** Goes on without what Redis will not take. False when there is nothing to do without. */
function shrink(plan: CommitPlan, error: unknown, { namespace, backlog, audit, clock, log }: CommitParts): boolean {
  const { writes } = plan.request();
  const shrunk = plan.shrink();
  if (!shrunk) return false;
  const { leftOut } = shrunk;
  if (leftOut !== undefined) {
    const bytes = writes.reduce((sum, { value }) => sum + Buffer.byteLength(value), 0);
    // A try whose outcome nobody knows may have written it all the same.
    for (const { key } of writes) audit.forget(key);
    backlog.withhold(leftOut, clock.monotonic());
    log.error({ namespace, service: leftOut, bytes }, `A snapshot is left out: ${messageOf(error)}`);
  }
  return true;
}
