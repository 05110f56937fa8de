import { decodeCatalog } from "../../contract/catalog.ts";
import { SCHEMA_VERSION } from "../../contract/document.ts";
import { openDocument, SEAL_FORMAT, sealFormatOf } from "../../contract/envelope.ts";
import { decodeHead, encodeHead, EPOCH_AHEAD_MS_MAX, type Head } from "../../contract/head.ts";
import { isName } from "../../contract/names.ts";
import { catalogKey, headKey } from "../../contract/redis-keys.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../node/log.ts";
import { HEAD_LIFE_MS, type Seal } from "../signing/seal.ts";
import type { Belief } from "./belief.ts";
import type { Published } from "./published.ts";
import { commit, FOREIGN_GUARD, headGuard } from "./commit-script.ts";
import { readText } from "./read-script.ts";
import { emptyRing } from "./ring.ts";
import type { SnapshotStore } from "./store.ts";

/**
 * How long after its last heartbeat the publisher of another etcd still owns a Redis. Shorter, and a stall lets a
 * laptop take over production; longer, and a real move from one etcd to another has to wait, or to say `adopt`.
 */
export const OWNER_ALIVE_MS = 30_000;

/**
 * How far above etcd's revision one is carried over from a head that is not believed. Publishing anew, as signatures that
 * expire need it, takes at most one a heartbeat, 43,200 a day: it is 68 years' worth. Whoever forges heads gets no further.
 */
export const REVISION_AHEAD_MAX = 2 ** 30;

/** A term as a claim sees it. */
export interface Leadership {
  /** Of the etcd that is published. */
  readonly identity: string;
  /** Of the election key; it grows from term to term. */
  readonly revision: number;
  /** Whether we still lead, by a linearizable read. Rejects when etcd cannot tell. */
  verify(): Promise<boolean>;
}

export interface ClaimOptions {
  readonly namespace: string;
  readonly store: SnapshotStore;
  readonly leadership: Leadership;
  /** The last epoch this process claimed for the namespace; 0 for none. */
  readonly epochOwn: number;
  /** Take over from the living publisher of another etcd. */
  readonly adopt: boolean;
  readonly seal: Seal;
  readonly belief: Belief;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * `refused` needs a person, or time: Redis belongs to the living publisher of another etcd, or to a newer build.
 * `contended`: another head was written meanwhile. `deposed`: we do not lead any more. `lastBeatMs`: when the head that was
 * there was written, by the clock of whoever did; undefined
 * where there was none.
 */
export type ClaimResult =
  | {
      readonly type: "claimed";
      readonly published: Published;
      readonly lastBeatMs: number | undefined;
      /** Of the head that was there; undefined where it is not believed, or nothing was filled under it. */
      readonly epochFound: number | undefined;
      /** Head or catalog was lost, also before a claim that filled nothing yet: neither may name what has a snapshot. */
      readonly namesLost: boolean;
    }
  | { readonly type: "refused"; readonly reason: string }
  | { readonly type: "contended" }
  | { readonly type: "deposed" };

/**
 * Makes the namespace in Redis ours: a head with a new epoch, after which every commit of another publisher is
 * refused. What readers know is carried over; over nothing, the head says that it is not complete. Rejects when Redis
 * or etcd cannot be reached, with the claim made or not; it may simply be tried again.
 */
export async function claimNamespace(options: ClaimOptions): Promise<ClaimResult> {
  const { namespace, store, leadership, epochOwn, adopt, seal, belief, clock, log } = options;
  const { text, guard } = await readText(store, headKey(namespace));
  const nowRedisMs = await store.timeMs();
  const format = text === undefined ? undefined : sealFormatOf(text);
  if (format !== undefined && format > SEAL_FORMAT) {
    return {
      type: "refused",
      reason: `Redis holds documents signed in format ${format}, this build's is ${SEAL_FORMAT}`,
    };
  }
  const schema = text === undefined ? undefined : schemaOf(text);
  if (schema !== undefined && schema > SCHEMA_VERSION) {
    return { type: "refused", reason: `Redis holds schema ${schema}, this build writes ${SCHEMA_VERSION}` };
  }
  if (guard === FOREIGN_GUARD) log.warn({ namespace }, "What Redis holds for a head is none, and is replaced");
  const found = text === undefined ? undefined : readHead(text, namespace, nowRedisMs, log);
  // Also when it is not to be believed: the strange key may be that of another deployment, whose Redis this is.
  if (found && found.identity !== leadership.identity && !adopt) {
    if (nowRedisMs - found.heartbeatAt < OWNER_ALIVE_MS) {
      return { type: "refused", reason: "Redis belongs to the publisher of another etcd, which is alive" };
    }
  }
  if (!(await leadership.verify())) return { type: "deposed" };

  const stored = found && text !== undefined && (await belief("head", namespace, "", text)) ? found : undefined;
  if (found && !stored) log.warn({ namespace }, "The head in Redis is signed with no known key: nothing is taken over");
  const epochLeast = Math.max(found?.epoch ?? 0, epochOwn, leadership.revision) + 1;
  const epoch = Math.max(epochLeast, nowRedisMs);
  const head: Head = {
    ...(stored ?? headOfNothing(namespace, Math.min(found?.revision ?? 0, leadership.revision + REVISION_AHEAD_MAX))),
    identity: leadership.identity,
    epoch,
    // One above its own epoch is no publisher's, and would have readers refuse every catalog.
    lifeEpoch: stored ? Math.min(stored.lifeEpoch ?? 0, stored.epoch) : epoch,
    heartbeatAt: clock.now(),
    // A predecessor's clock may have been ahead: a confirmation from the future would not be seen to advance.
    confirmedAt: Math.min(stored?.confirmedAt ?? 0, clock.now()),
  };
  const claim = seal("head", namespace, "", encodeHead(head), HEAD_LIFE_MS);
  const result = await commit(store, { headKey: headKey(namespace), guard, writes: [], head: claim });
  if (result === "refused") return { type: "contended" };
  // Only now that nobody else can write is what there is all that will be there.
  const { names, isCatalog } = await readNames(stored, options);
  // A service under any other name was never published, and would only be a key more to write.
  const services = new Map(names.filter(isName).map((name) => [name, 0]));
  return {
    type: "claimed",
    published: { head, guard: headGuard(claim), services, catalogStale: true },
    lastBeatMs: stored?.heartbeatAt,
    epochFound: stored?.complete ? stored.epoch : undefined,
    namesLost: !stored?.complete || !isCatalog,
  };
}

/** It takes over nothing but the revision, so that no watcher waits for one that it has seen already. */
function headOfNothing(
  namespace: string,
  revision: number,
): Omit<Head, "identity" | "epoch" | "lifeEpoch" | "heartbeatAt"> {
  return {
    namespace,
    revision,
    etcdRevision: 0,
    complete: false,
    confirmedAt: 0,
    services: 0,
    instances: 0,
    catalogRevision: 0,
    ring: emptyRing(revision),
  };
}

/** The names of all services whose snapshots may be in Redis, as far as head and catalog are there to tell. */
async function readNames(
  head: Head | undefined,
  { namespace, store, belief, log }: ClaimOptions,
): Promise<{ readonly names: readonly string[]; readonly isCatalog: boolean }> {
  const names = head?.ring.entries.map(([, service]) => service) ?? [];
  const { text } = await readText(store, catalogKey(namespace));
  if (text === undefined) return { names, isCatalog: false };
  try {
    if (!(await belief("catalog", namespace, "", text))) throw new Error("it is signed with no known key");
    return { names: [...names, ...decodeCatalog(text, namespace).services.keys()], isCatalog: true };
  } catch {
    log.warn({ namespace }, "The catalog in Redis cannot be read, and is written again");
    return { names, isCatalog: false };
  }
}

function readHead(text: string, namespace: string, nowRedisMs: number, log: Log): Head | undefined {
  try {
    const head = decodeHead(text, namespace);
    if (head.epoch <= nowRedisMs + EPOCH_AHEAD_MS_MAX) return head;
    log.warn(
      { namespace, epoch: head.epoch },
      "The head in Redis has an epoch no publisher claims; it is written again",
    );
    return undefined;
  } catch {
    log.warn({ namespace }, "The head in Redis cannot be read, and is written again");
    return undefined;
  }
}

function schemaOf(text: string): number | undefined {
  try {
    const json: unknown = JSON.parse(openDocument(text).document);
    const schema = typeof json === "object" && json !== null && "schema" in json ? json.schema : undefined;
    // What no build numbers its schemas by tells of no newer one: we would leave it there, and publish nothing, for ever.
    return Number.isSafeInteger(schema) ? Number(schema) : undefined;
  } catch {
    return undefined;
  }
}
