import type { Change } from "../chaos/broken/change.ts";

/** A build that is wrong on purpose: the simulation must find it. */
export interface Mutation {
  readonly name: string;
  /** What is wrong with it. */
  readonly about: string;
  readonly changes: readonly Change[];
}

function mutation(name: string, about: string, file: string, from: string, to: string): Mutation {
  return { name, about, changes: [{ file, from, to }] };
}

export const MUTATIONS: readonly Mutation[] = [
  mutation(
    "no-tombstones",
    "A service that has ended is left as it was in Redis.",
    "registrar/publisher/commit-plan.ts",
    "if (published.services.has(service)) return",
    "if (published.services.has(service) && queue.length < 0) return",
  ),
  mutation(
    "revision-of-etcd",
    "What is published has etcd's revision, and is not above what was published before.",
    "registrar/publisher/commit-plan.ts",
    "Math.max(etcdRevision, input.revisionMin, published.head.revision + 1)",
    "etcdRevision",
  ),
  mutation(
    "changes-not-in-the-ring",
    "The head does not tell which services have changed.",
    "registrar/publisher/published.ts",
    "addToRing(published.head.ring, changes, revision)",
    "addToRing(published.head.ring, [], revision)",
  ),
  mutation(
    "confirmed-now",
    "Each head says that etcd was confirmed when it was written.",
    "registrar/publisher/published.ts",
    "confirmedAt: options.confirmedAt,",
    "confirmedAt: options.nowMs,",
  ),
  mutation(
    "names-kept",
    "A catalog is made of the names that were in order once.",
    "registrar/publisher/published.ts",
    "let names = sameNames ? published.names : undefined;",
    "let names = published.names;",
  ),
  mutation(
    "no-fill",
    "After a claim only what is in the ring is told to be new.",
    "registrar/publisher/published.ts",
    "isFill ? emptyRing(revision) :",
    "",
  ),
  mutation(
    "epoch-kept",
    "A claim goes on with the epoch that it finds.",
    "registrar/publisher/claim.ts",
    "epoch: Math.max(epochLeast, nowRedisMs),",
    "epoch: found?.epoch ?? nowRedisMs,",
  ),
  mutation(
    "unverified-claim",
    "A claim does not ask whether its publisher still leads.",
    "registrar/publisher/claim.ts",
    'if (!(await leadership.verify())) return { type: "deposed" };',
    "",
  ),
  mutation(
    "empty-is-complete",
    "A claim over nothing says that there is nothing.",
    "registrar/publisher/claim.ts",
    "complete: false,",
    "complete: true,",
  ),
  mutation(
    "floor-at-nothing",
    "A ring that was emptied says that it tells everything.",
    "registrar/publisher/ring.ts",
    "return { floor: revision, entries: [] };",
    "return { floor: 0, entries: [] };",
  ),
  mutation(
    "ring-in-any-order",
    "A service that changes again keeps its older entry in the ring.",
    "registrar/publisher/ring.ts",
    "...ring.entries.filter(([, service]) => !changed.has(service)),\n    ...changes.map(({ service, change }): RingEntry => [revision, service, change]),",
    "...changes.map(({ service, change }): RingEntry => [revision, service, change]),\n    ...ring.entries,",
  ),
  mutation(
    "forgets-under-way",
    "What changes while its snapshot is on its way is not published again.",
    "registrar/publisher/backlog.ts",
    "written(service, bytes, nowMs) {",
    "written(service, bytes, nowMs) {\n      waiting.delete(service);",
  ),
  mutation(
    "refused-is-done",
    "A refused commit is taken for one that was made.",
    "registrar/publisher/commit-step.ts",
    'if (result === "refused") return { type: "refused" };',
    "",
  ),
  mutation(
    "blind-audit",
    "The audit of Redis finds every key as it was written.",
    "registrar/publisher/redis-audit.ts",
    "return found[index] !== entry.fingerprint &&",
    "return found[index] === undefined && found[index] !== entry.fingerprint &&",
  ),
  mutation(
    "beats-unseen",
    "A beat counts as confirmed when it is sent.",
    "registrar/publisher/publisher.ts",
    "for (const { publisher } of namespaces.all()) publisher.beat(confirmedAt);",
    "for (const { publisher } of namespaces.all()) publisher.beat(clock.now());",
  ),
  mutation(
    "no-landmark",
    "A watch goes on after a restore as if nothing had happened, and beats find nothing either.",
    "registrar/etcd/follower.ts",
    "} else if (!(await hasLandmark(etcd, landmark))) {",
    "} else if (Number.isNaN(revision)) {",
  ),
  mutation(
    "all-on-purpose",
    "The end of a lease counts as on purpose.",
    "registrar/publisher/catalog-state.ts",
    'const planned = lease === NO_LEASE || leaseLives || held.status === "draining";',
    "const planned = leases.size >= 0;",
  ),
  mutation(
    "last-goes",
    "A service's last instances go like any others.",
    "registrar/publisher/guard/guard.ts",
    'last && departure.type !== "down"',
    'last && departure.service === ""',
  ),
  mutation(
    "never-settles",
    "An instance that registers again stays suspect.",
    "registrar/publisher/guard/guard.ts",
    'if (isBack(id)) end(service, id, "registered");',
    "if (isBack(id)) continue;",
  ),
  mutation(
    "no-deadline",
    "A hold has no deadline.",
    "registrar/publisher/guard/guard.ts",
    'if (nowMs >= held.endsAtMs) return "deadline";',
    'if (nowMs < 0) return "deadline";',
  ),
  mutation(
    "takes-up-nothing",
    "Whoever takes over forgets what was held.",
    "registrar/publisher/guard/takeover.ts",
    "if (first.lastBeatMs !== undefined) guard.takeUp(found.holds, first.lastBeatMs);",
    "",
  ),
  mutation(
    "compares-nothing",
    "Whoever takes over lets go what was lost while nobody led.",
    "registrar/publisher/guard/takeover.ts",
    "first.lastBeatMs === undefined ? lostOf(options) : found.departures",
    "first.lastBeatMs === undefined ? lostOf(options) : []",
  ),
  mutation(
    "loses-with-redis",
    "Whoever takes over an emptied Redis forgets what it saw being lost.",
    "registrar/publisher/guard/takeover.ts",
    "first.lastBeatMs === undefined ? lostOf(options) : found.departures",
    "found.departures",
  ),
  mutation(
    "goes-back",
    "A resolver takes an older head after a newer one.",
    "src/memory/namespace-state.ts",
    'if (order < 0) return "older";',
    "",
  ),
  mutation(
    "older-snapshots",
    "A resolver takes an older snapshot in place of a newer one.",
    "src/memory/namespace-state.ts",
    'if (existing && (order < 0 || (order === 0 && existing.standing.type === "current"))) return existing;',
    "",
  ),
  mutation(
    "never-behind",
    "A resolver does not see from the ring that what it holds is behind.",
    "src/memory/namespace-state.ts",
    "if (!entry || revision <= entry.held.snapshot.revision ||",
    "if (!entry || revision > 0 ||",
  ),
  mutation(
    "gap-unseen",
    "A resolver takes a ring that does not reach back for one that does.",
    "src/memory/namespace-state.ts",
    "const continuous = continues(previous, next);",
    "const continuous = previous.revision <= Infinity;",
  ),
  mutation(
    "young-again",
    "What is older than the head is as old as the head says.",
    "src/lookup/provenance.ts",
    "Math.min(head.confirmedAt, confirmedAt)",
    "head.confirmedAt",
  ),
  mutation(
    "unknown-is-absent",
    "A resolver without a catalog takes a name that it does not hold for one that does not exist.",
    "src/lookup/judge.ts",
    "return known === undefined ? undefined : !known;",
    "return known !== true;",
  ),
  mutation(
    "absent-by-an-old-head",
    "A resolver says that a service does not exist by a head of any age.",
    "src/lookup/judge.ts",
    'if (ageOf(state.readAt()) > freshMs && state.readAt() < since) return "refresh";',
    "",
  ),
  mutation(
    "names-not-patched",
    "A resolver does not add to its catalog what the ring tells.",
    "src/memory/known-names.ts",
    "if (continuous) patch(head.ring.entries, state.stored.revision);",
    "if (continuous) return;",
  ),
  mutation(
    "incomplete-is-taken",
    "A resolver takes a head that is not complete.",
    "src/memory/namespace-state.ts",
    'if (!next.complete) return "incomplete";',
    "",
  ),
  mutation(
    "old-from-the-colo",
    "A resolver takes a head of any age from another isolate as if it were new.",
    "src/lookup/loader.ts",
    'reading.sharedHead(head.opened, head.readAt, "colo");\n    spreadMs',
    'reading.sharedHead(head.opened, clock.monotonic(), "colo");\n    spreadMs',
  ),
];
