import { ELECTION_KEY, ETCD_PREFIX, PUBLISHER_KEY } from "../../contract/etcd-keys.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { createElection, type Term } from "../etcd/election.ts";
import { createFollower, type RestartReason } from "../etcd/follower.ts";
import { readOrCreateIdentity } from "../etcd/identity.ts";
import type { LeaseKeeper } from "../etcd/lease-keeper.ts";
import type { Etcd, WatchEvent } from "../etcd/port.ts";
import type { Seal } from "../signing/seal.ts";
import type { Belief } from "./belief.ts";
import { boundStore } from "./bounded-store.ts";
import { createCatalogState, type Changes } from "./catalog-state.ts";
import { createEtcdAudit, type EtcdAuditReport } from "./etcd-audit.ts";
import { createGuardDesk, type GuardDesk } from "./guard/desk.ts";
import { GUARD_DEFAULT, type GuardSettings } from "./guard/limits.ts";
import { probe } from "./guard/probe.ts";
import { runProber } from "./guard/prober.ts";
import { createHeartbeat, decodeLeaderBeat, type Heartbeat, type LeaderBeat } from "./heartbeat.ts";
import { createNamespaces, type Followed } from "./namespaces.ts";
import { createNamespacePublisher, type NamespaceStatus, type PublishHooks } from "./namespace-publisher.ts";
import type { SnapshotStore } from "./store.ts";

export const HEARTBEAT_INTERVAL_MS_DEFAULT = 2000;
/**
 * Lower costs Redis more: it hashes all it holds for us once in this time, as little as that is. Higher, and what
 * somebody changed by hand is served for longer.
 */
export const AUDIT_INTERVAL_SECONDS_DEFAULT = 300;
/** Requests to Redis at a time, of all namespaces. */
const STORE_CONCURRENCY_MAX = 16;
/** How long the end of a process waits for its last changes to reach Redis. */
const CLOSE_FLUSH_MS = 3000;
/** How long a standby believes that what another leader said to be published still is. */
const LEADER_SEEN_MS_MAX = 15_000;
/** Between tries to read the identity of etcd. */
const IDENTITY_BACKOFF = { baseMs: 250, capMs: 5000 };

export interface PublisherOptions extends PublishHooks {
  readonly etcd: Etcd;
  readonly leases: Pick<LeaseKeeper, "add" | "remove">;
  readonly store: SnapshotStore;
  /** Who leads, for people who look into etcd. */
  readonly name: string;
  /** Published also while etcd has nothing in them; at least the default one. */
  readonly namespaces: readonly string[];
  /** Take over a Redis that the publisher of another etcd keeps alive. */
  readonly adopt: boolean;
  /**
   * How often the head is committed without a change. Readers take it for age: at 2 s it is at most some 2 s behind.
   * Lower costs etcd and Redis a write each time; higher makes every answer look older.
   */
  readonly heartbeatIntervalMs?: number;
  /** How often Redis and etcd are compared with what is held here. */
  readonly auditIntervalSeconds?: number;
  readonly guard?: Partial<GuardSettings>;
  /** Signs what is published; left out, nothing does. */
  readonly seal?: Seal;
  /** What of an earlier leader is gone on from; left out, everything. */
  readonly belief?: Belief;
  /** How long nobody publishes after a leader has died. */
  readonly electionTtlSeconds?: number;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onWatchRestart?: (reason: RestartReason) => void;
  /** etcd was found to differ from what its watch had told; everything is listed again. */
  readonly onEtcdDifference?: () => void;
}

export interface PublisherStatus {
  readonly role: "leader" | "standby";
  /**
   * The catalog is complete and every namespace is published: by us, or, on a standby, by a leader whose heartbeat
   * says so.
   */
  readonly ready: boolean;
  /** What `ready` still waits for, a sentence each. */
  readonly notReady: readonly string[];
  /** The last revision of etcd that the catalog knows. */
  readonly etcdRevision: number;
  /** Values under an instance's key that are no registration. */
  readonly undecodable: number;
  /** Namespaces of etcd that are not published, since there are more than NAMESPACES_MAX. */
  readonly namespacesLeftOut: number;
  readonly namespaces: readonly NamespaceStatus[];
  /** Of etcd with what its watch has told. Redis' is in each namespace. */
  readonly audit: EtcdAuditReport;
}

/** Follows etcd, and while it leads, publishes what it sees to Redis. */
export interface Publisher {
  status(): PublisherStatus;
  readonly guard: GuardDesk;
  /** Publishes what is left within a bound, resigns, and waits for what was started. The store stays open. */
  close(): Promise<void>;
}

/** A term under way. */
interface Leading {
  readonly heartbeat: Heartbeat;
  start(followed: Followed): void;
}

/** What a list tells beside the catalog. */
interface Listing {
  readonly keys: number;
  /** The value of ELECTION_KEY and of PUBLISHER_KEY. */
  readonly leader: string | undefined;
  readonly beat: string | undefined;
}

const noKeys: Listing = { keys: 0, leader: undefined, beat: undefined };

/** Starts at once; etcd and Redis may come later. */
export function startPublisher(options: PublisherOptions): Publisher {
  const { etcd, leases, clock, random, log, heartbeatIntervalMs = HEARTBEAT_INTERVAL_MS_DEFAULT } = options;
  const guardSettings: GuardSettings = { ...GUARD_DEFAULT, ...options.guard };
  const id = `${options.name}/${Math.floor(random() * 2 ** 32).toString(36)}`;
  const store = boundStore(options.store, STORE_CONCURRENCY_MAX, clock);
  const auditIntervalMs = 1000 * (options.auditIntervalSeconds ?? AUDIT_INTERVAL_SECONDS_DEFAULT);
  const closing = new AbortController();
  const listed = Promise.withResolvers<void>();
  const catalog = createCatalogState(
    (key) => {
      log.warn({ key }, "A value in etcd is not a registration; left out");
    },
    clock,
    guardSettings.holdSeconds,
  );
  let leading: Leading | undefined;
  const namespaces = createNamespaces({
    configured: options.namespaces,
    inEtcd: () => catalog.namespaces(),
    create: (namespace) =>
      createNamespacePublisher({ ...options, guardSettings, namespace, catalog, store, auditIntervalMs }),
    onFollowed: (followed) => leading?.start(followed),
    clock,
    log,
  });
  let leaderPublishedAtMs = -Infinity;
  /** Whoever leads, by the name in etcd. */
  let leader: string | undefined;
  let confirmedAt = 0;

  const election = createElection({
    etcd,
    leases,
    clock,
    random,
    log,
    identity: options.name,
    ...(options.electionTtlSeconds === undefined ? {} : { ttlSeconds: options.electionTtlSeconds }),
  });
  /** Of the list that is arriving. */
  let listing = noKeys;
  const follower = createFollower({
    etcd,
    prefix: ETCD_PREFIX,
    clock,
    random,
    log,
    ...(options.onWatchRestart ? { onRestart: options.onWatchRestart } : {}),
    sink: {
      page(entries, isFirst) {
        const { keys, leader: leaderBefore, beat } = isFirst ? noKeys : listing;
        listing = {
          keys: keys + entries.length,
          leader: leaderBefore ?? entries.find(({ key }) => key === ELECTION_KEY)?.value,
          beat: beat ?? entries.find(({ key }) => key === PUBLISHER_KEY)?.value,
        };
        catalog.page(entries, isFirst);
      },
      restore(revision, wentBack) {
        audit.restore(listing.keys, revision);
        publish(catalog.restore(revision, wentBack));
        leader = listing.leader;
        adoptNamespaces(listing.beat);
        if (wentBack) for (const { publisher } of namespaces.all()) publisher.reclaim();
        listed.resolve();
      },
      apply(events, revision) {
        audit.apply(events, revision);
        publish(catalog.apply(events, revision));
        for (const event of events) observe(event);
      },
    },
  });

  const audit = createEtcdAudit({
    etcd,
    intervalMs: auditIntervalMs,
    held: ({ namespace, service, instance }) => catalog.registrations(namespace, service).get(instance),
    onDifference() {
      options.onEtcdDifference?.();
      follower.relist("requested");
    },
    clock,
    random,
    log,
  });

  function publish(changes: Changes): void {
    for (const [namespace, { services, departures }] of changes) {
      namespaces.follow(namespace)?.publisher.changed(services, departures);
    }
  }

  /** Our own keys, as the watch tells of them. */
  function observe({ type, entry }: WatchEvent): void {
    if (entry.key === ELECTION_KEY) {
      leader = type === "put" ? entry.value : undefined;
      if (type === "delete") election.keyDeleted();
    }
    if (entry.key !== PUBLISHER_KEY || type !== "put") return;
    const beat = adoptNamespaces(entry.value);
    if (beat === undefined) return;
    if (beat.publisher === id) {
      confirmedAt = beat.sentAt;
      leading?.heartbeat.seen(beat);
    } else if (beat.published) {
      leaderPublishedAtMs = clock.monotonic();
    }
  }

  /** Takes up what another leader published, also where etcd has nothing of it any more. */
  function adoptNamespaces(beatValue: string | undefined): LeaderBeat | undefined {
    const beat = beatValue === undefined ? undefined : decodeLeaderBeat(beatValue);
    if (beat !== undefined && beat.publisher !== id) {
      for (const namespace of beat.namespaces) namespaces.follow(namespace);
    }
    return beat;
  }

  const areLive = () => [...namespaces.all()].every(({ publisher }) => publisher.status().state === "live");

  async function readIdentity(): Promise<string | undefined> {
    const backoff = createBackoff({ ...IDENTITY_BACKOFF, random });
    let told = "";
    while (!closing.signal.aborted) {
      try {
        return await readOrCreateIdentity(etcd, options.randomBytes);
      } catch (error) {
        if (told !== messageOf(error)) log.warn(`The identity of etcd cannot be read: ${messageOf(error)}`);
        told = messageOf(error);
        await sleep(clock, backoff.next(), closing.signal);
      }
    }
    return undefined;
  }

  /** Publishes until the term ends, however it does. */
  async function lead(term: Term, identity: string): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([term.lost, closing.signal, ended.signal]);
    const leadership = { identity, revision: term.revision, verify: () => term.verify() };
    const running = new Set<Promise<void>>();
    const heartbeat = createHeartbeat({
      etcd,
      publisher: id,
      termRevision: term.revision,
      intervalMs: heartbeatIntervalMs,
      clock,
      log,
      revision: () => follower.revision(),
      isPublished: areLive,
      namespaces: () => namespaces.names(),
      onBeat() {
        namespaces.turnOver();
        for (const { publisher } of namespaces.all()) publisher.beat(confirmedAt);
      },
      onDeposed: () => ended.abort(),
      onReverted() {
        log.warn("etcd is behind what it told before: it was restored from a backup. Listing it again");
        follower.relist("reverted");
      },
    });
    const start = ({ publisher, retired }: Followed) => {
      const publishing = publisher.run(leadership, AbortSignal.any([signal, retired.signal])).then((end) => {
        running.delete(publishing);
        if (end === "deposed") ended.abort();
      });
      running.add(publishing);
    };

    log.info({ term: term.revision }, "Leading: publishing to Redis");
    leading = { heartbeat, start };
    for (const followed of namespaces.all()) start(followed);
    await Promise.all([heartbeat.run(signal), audit.run(signal), probeHeld(signal)]);
    leading = undefined;
    await Promise.all(running);
    log.info({ term: term.revision }, "Not leading any more");
    await term.resign();
  }

  async function probeHeld(signal: AbortSignal): Promise<void> {
    if (guardSettings.probeSeconds === 0) return;
    const probed = ([namespace, { publisher }]: readonly [string, Followed]) => ({ namespace, ...publisher });
    await runProber(
      {
        namespaces: () => [...namespaces.entries()].map(probed),
        catalog,
        intervalMs: guardSettings.probeSeconds * 1000,
        probe: (registration, stopped) => probe(registration, clock, stopped),
        clock,
        random,
        log,
      },
      signal,
    );
  }

  const guard = createGuardDesk({
    leads: () => leading !== undefined,
    leader: () => leader,
    namespaces: () => [...namespaces.entries()].map(([namespace, { publisher }]) => [namespace, publisher] as const),
    catalog,
    clock,
  });

  async function campaign(): Promise<void> {
    // A leader without a catalog could publish nothing, and would keep others from leading.
    await Promise.race([listed.promise, aborted(closing.signal)]);
    while (!closing.signal.aborted) {
      // Read for each term, since the etcd of the last one may have been replaced.
      const identity = await readIdentity();
      if (identity === undefined) return;
      try {
        await lead(await election.campaign(closing.signal), identity);
      } catch (error) {
        if (!closing.signal.aborted) log.error({ err: error }, "A term ended by a defect");
      }
    }
  }

  follower.start();
  const campaigning = campaign();

  const notReady = () => {
    if (!follower.isReady()) return ["The services have not been listed from etcd yet."];
    if (leading) return areLive() ? [] : ["Not every namespace is in Redis yet."];
    if (clock.monotonic() - leaderPublishedAtMs <= LEADER_SEEN_MS_MAX) return [];
    return ["No leader has told lately that everything is in Redis."];
  };

  /** What etcd has answered may not have come through the watch yet. */
  async function flush(): Promise<void> {
    await leading?.heartbeat.prove();
    await Promise.all([...namespaces.all()].map(({ publisher }) => publisher.flushed()));
  }

  let closed: Promise<void> | undefined;
  async function close(): Promise<void> {
    try {
      await within(clock, CLOSE_FLUSH_MS, "The last commit", flush());
    } catch (error) {
      log.warn(`Closing with changes that are not published: ${messageOf(error)}`);
    }
    closing.abort();
    await campaigning;
    await follower.close();
  }

  return {
    status: () => ({
      role: leading ? "leader" : "standby",
      ready: notReady().length === 0,
      notReady: notReady(),
      etcdRevision: catalog.revision(),
      undecodable: catalog.undecodable(),
      namespacesLeftOut: namespaces.leftOut(),
      namespaces: [...namespaces.all()].map(({ publisher }) => publisher.status()),
      audit: audit.report(),
    }),
    guard,
    close: () => (closed ??= close()),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
