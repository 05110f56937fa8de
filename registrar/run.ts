import { randomBytes } from "node:crypto";
import { AGENTS_PREFIX } from "../contract/etcd-keys.ts";
import type { Clock } from "../kernel/clock.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { hostLabel } from "../node/host-label.ts";
import { isLoopback, listen, type ListenAddress, type Listener } from "../node/listen.ts";
import type { Log } from "../node/log.ts";
import { createAgent } from "./agent/agent.ts";
import { createProber } from "./agent/checks/prober.ts";
import { startFirstContact } from "./agent/first-contact.ts";
import { openState, type OpenState } from "./agent/state/open.ts";
import { createEtcd, type EtcdClient } from "./etcd/etcd.ts";
import { createLeaseKeeper, type LeaseKeeper } from "./etcd/lease-keeper.ts";
import { createRegistrarApp } from "./http/app.ts";
import { createMetrics } from "./metrics.ts";
import type { GuardSettings } from "./publisher/guard/limits.ts";
import { startPublisher, type Publisher } from "./publisher/publisher.ts";
import { createDirectStore } from "./publisher/redis-direct.ts";
import { createUpstashStore } from "./publisher/redis-upstash.ts";
import type { SnapshotStore } from "./publisher/store.ts";
import { createSigning } from "./signing/signing.ts";
import type { StaticRegistration } from "./static/parse.ts";
import { createStaticRegistrations } from "./static/static.ts";

/** What a registrar is started with, checked already. Files are read: `ca`, `cert` and `key` are PEM text. */
export interface RegistrarConfig {
  readonly etcd: {
    /** At least one. */
    readonly endpoints: readonly string[];
    readonly username?: string | undefined;
    readonly password?: string | undefined;
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  };
  /** Where the publisher writes; not needed in the role `agent`. */
  readonly redis?:
    | { readonly type: "upstash"; readonly url: string; readonly token: string }
    | { readonly type: "direct"; readonly url: string }
    | undefined;
  readonly listen: ListenAddress;
  /** Bearer token that callers must send; required unless listening on loopback. */
  readonly token?: string | undefined;
  readonly role: "both" | "agent" | "publisher";
  /** The namespace of requests that name none. */
  readonly namespace: string;
  /** How long etcd keeps an agent's instances after the agent died. */
  readonly leaseTtlSeconds: number;
  /** How often the publisher compares Redis and etcd with what it holds. */
  readonly auditIntervalSeconds?: number | undefined;
  /** How long a draining instance stays. Default 30. */
  readonly drainSeconds?: number | undefined;
  /** How long a silent instance stays as `down`. Default: its own TTL, at least 10 s. */
  readonly downSeconds?: number | undefined;
  /** Health checks under way at a time. Default 256. */
  readonly checkConcurrency?: number | undefined;
  /** PEM of the authorities that checks over TLS trust. Default: those of the system. */
  readonly checkCa?: string | undefined;
  /** Where what is registered outlives this process; left out: nowhere. */
  readonly stateDir?: string | undefined;
  /** Signs what is published: a line of base64, as `fingerpost keys generate` makes it. Left out, nothing does. */
  readonly signingKey?: string | undefined;
  /**
   * A publisher that takes over goes on only from what was signed with one of these, or with its own key. Left out or
   * empty, from everything.
   */
  readonly publicKeys?: readonly string[] | undefined;
  /** Take over a Redis that another etcd's publisher still keeps alive. */
  readonly adopt: boolean;
  /** Deregister every instance on the way out. */
  readonly leave: boolean;
  /** What the configuration file registers. Default: nothing. */
  readonly services?: readonly StaticRegistration[];
  /** When departures are held back; left out, the defaults. */
  readonly guard?: Partial<GuardSettings>;
}

export interface RegistrarDependencies {
  readonly log: Log;
  /** Once it aborts, the registrar says that it is not ready; the caller then closes it. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
}

export interface Registrar {
  /** Without a trailing slash. */
  readonly url: string;
  /** From now on the configuration file registers this. Does nothing in the role `publisher`. */
  setServices(services: readonly StaticRegistration[]): void;
  /** Ends what it started, in order: requests, instances, publishing, renewals, connections. */
  close(): Promise<void>;
}

type Ending = readonly [what: string, end: () => Promise<void>];

/**
 * Starts a registrar. Its HTTP is up when this resolves; etcd and Redis may come later, and `/readyz` tells. Rejects
 * with `invalid_argument` for a configuration that would be unsafe or a state directory that is not usable, and with
 * `conflict` when the port or that directory is taken.
 */
export async function runRegistrar(config: RegistrarConfig, dependencies: RegistrarDependencies): Promise<Registrar> {
  const { log, signal, clock, random } = dependencies;
  const { host, port } = config.listen;
  if (config.token === undefined && !isLoopback(host)) {
    throw new FingerpostError("invalid_argument", `Listening on ${host}, which others can reach, needs a token.`);
  }
  const name = processName(port, random);
  const signing = config.role === "agent" ? {} : await createSigning(config, clock);
  const store = config.role === "agent" ? undefined : createStore(config, dependencies);
  let publisher: Publisher | undefined;

  const metrics = createMetrics({
    registrations: () => agent?.counts().instances ?? 0,
    leases: () => leases.size(),
    leaseStreams: () => leases.streams(),
    etcdStrain: () => leases.strain(),
    etcdCircuitOpen: () => etcd.circuit().type !== "closed",
    checksRunning: () => agent?.counts().checks.running ?? 0,
    leader: () => publisher?.status().role === "leader",
    guardHeld: () => publisher?.guard.held() ?? 0,
  });
  const { endpoints, ...credentials } = config.etcd;
  const etcd: EtcdClient = createEtcd({
    endpoints,
    ...given(credentials),
    clock,
    random,
    log,
    onRequest: (method, code) => metrics.onEtcdRequest(method, code),
    onAuthentication: () => metrics.onAuthentication(),
  });
  const leases: LeaseKeeper = createLeaseKeeper({ etcd, clock, random, log, onRenewal: () => metrics.onRenewal() });
  const strain = () => leases.strain();
  const { leaseTtlSeconds, drainSeconds, downSeconds } = config;
  const endingIdle: readonly Ending[] = [
    ["the leases", () => leases.close()],
    ["the etcd client", () => etcd.close()],
    ["the Redis client", async () => store?.close()],
  ];
  let state: OpenState | undefined;
  try {
    if (config.role !== "publisher") state = await openState({ dir: config.stateDir, clock, random, log });
  } catch (error) {
    await endAll(endingIdle, log);
    throw error;
  }
  // The name goes with the state: that of a container changes, and its leases have the name they were made with.
  const agentName = state?.stored.agent ?? name;
  const agent =
    state &&
    createAgent({
      etcd,
      leases,
      clock,
      random,
      log,
      agent: agentName,
      leaseTtlSeconds,
      strain,
      state,
      ...given({ drainSeconds, downSeconds, checksRunningMax: config.checkConcurrency }),
      probe: createProber({ clock, ca: config.checkCa }),
      onCheck: (type, result) => metrics.onCheck(type, result),
    });
  const fromFile = agent && createStaticRegistrations({ agent, clock, random, log });
  const probeKey = `${AGENTS_PREFIX}${agentName}`;
  const firstContact = agent && startFirstContact({ etcd, key: probeKey, clock, random, log });

  const notReady = () => {
    const reasons: string[] = [];
    if (signal.aborted) reasons.push("Shutting down.");
    const failure = firstContact?.failure();
    if (failure !== undefined) reasons.push(failure);
    const takingUp = agent?.counts().takingUp ?? 0;
    if (takingUp > 0) reasons.push(`The leases of an earlier run are being taken up: ${takingUp} left.`);
    if (store) reasons.push(...(publisher?.status().notReady ?? ["The publisher has not started yet."]));
    return reasons;
  };
  const app = createRegistrarApp({
    agent,
    guard: store && (() => publisher?.guard),
    status: () => ({
      role: config.role,
      ready: notReady().length === 0,
      notReady: notReady(),
      ...(agent ? { agent: { name: agentName, ...agent.counts() } } : {}),
      ...(fromFile ? { services: fromFile.status() } : {}),
      ...(state ? { state: state.status() } : {}),
      leases: leases.size(),
      leaseStreams: leases.streams(),
      etcd: { circuit: etcd.circuit(), strain: strain(), ...unansweredSince(etcd.unansweredSinceMs()) },
      ...(publisher ? { publisher: publisher.status() } : {}),
    }),
    notReady,
    metrics: () => metrics.read(),
    token: config.token,
    host,
    namespaceDefault: config.namespace,
    log,
  });

  const endingAgent = (leave: boolean): readonly Ending[] => [
    ["the first contact with etcd", async () => firstContact?.close()],
    ["the registrations of the file", async () => fromFile?.close()],
    ["the agent", async () => agent?.close({ leave })],
    ["the state", async () => state?.close()],
  ];
  let listener: Listener;
  try {
    listener = await listen(config.listen, app.fetch);
  } catch (error) {
    // What an earlier run has left is not deregistered because a port is taken.
    await endAll([...endingAgent(false), ...endingIdle], log);
    throw error;
  }
  fromFile?.apply(config.services ?? []);
  // Only now, so that a process which cannot listen does not become the leader for a moment.
  if (store) {
    publisher = startPublisher({
      etcd,
      leases,
      store,
      name,
      namespaces: [config.namespace],
      adopt: config.adopt,
      ...given({ auditIntervalSeconds: config.auditIntervalSeconds, guard: config.guard }),
      ...signing,
      randomBytes,
      clock,
      random,
      log,
      onPublish(result, services) {
        if (result === "committed" && services > 0) metrics.onPublish();
      },
      onPublishLag: (seconds) => metrics.onPublishLag(seconds),
      onDepartures: (outcome, count) => metrics.onDepartures(outcome, count),
      onExit: (exit) => metrics.onGuardExit(exit),
      onWatchRestart: () => metrics.onWatchRestart(),
      onRedisDifference: (of) => metrics.onAuditDifference(of),
      onEtcdDifference: () => metrics.onAuditDifference("etcd"),
    });
  }
  const ending: readonly Ending[] = [
    ["the listener", () => listener.close()],
    // The agent before the publisher, so that departures on the way out are still published.
    ...endingAgent(config.leave),
    ["the publisher", async () => publisher?.close()],
    ...endingIdle,
  ];
  log.info({ url: listener.url, role: config.role }, "registrar listening");

  let closed: Promise<void> | undefined;
  return {
    url: listener.url,
    setServices: (services) => fromFile?.apply(services),
    close: () => (closed ??= endAll(ending, log)),
  };
}

function createStore({ redis }: RegistrarConfig, { clock, random }: RegistrarDependencies): SnapshotStore {
  if (redis?.type === "upstash") return createUpstashStore({ url: redis.url, token: redis.token });
  if (redis?.type === "direct") return createDirectStore({ url: redis.url, clock, random });
  throw new FingerpostError("invalid_argument", "A registrar that publishes needs a Redis to publish to.");
}

function unansweredSince(ms: number | undefined): { unansweredSince?: string } {
  return ms === undefined ? {} : { unansweredSince: new Date(ms).toISOString() };
}

/** One after the other; what fails to end must not keep the rest from ending. */
async function endAll(ending: readonly Ending[], log: Log): Promise<void> {
  for (const [what, end] of ending) {
    try {
      await end();
    } catch (error) {
      log.error({ error: messageOf(error) }, `${what} did not end well`);
    }
  }
}

/** The same after a restart of this process, and another one for a second process of the same host. */
function processName(port: number, random: Random): string {
  const own = port === 0 ? Math.floor(random() * 2 ** 32).toString(36) : String(port);
  return `${hostLabel("agent")}-${own}`;
}

/** Without the fields that are undefined, which an optional field may not be. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
