import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { EXITS, type Exit } from "./publisher/guard/hold.ts";

/** Seconds from an etcd event to its commit in Redis: from within one batch to a Redis that was away. */
const LAG_BUCKETS_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Asked when the metrics are read, so that a gauge is never older than its reader. */
export interface GaugeSources {
  readonly registrations: () => number;
  readonly leases: () => number;
  readonly leaseStreams: () => number;
  readonly etcdStrain: () => number;
  readonly etcdCircuitOpen: () => boolean;
  readonly checksRunning: () => number;
  readonly leader: () => boolean;
  readonly guardHeld: () => number;
}

export interface Metrics {
  onEtcdRequest(method: string, code: string): void;
  onAuthentication(): void;
  onRenewal(): void;
  onCheck(type: string, result: string): void;
  onWatchRestart(): void;
  onPublish(): void;
  onPublishLag(seconds: number): void;
  onAuditDifference(of: "etcd" | "head" | "catalog" | "snapshot"): void;
  /** Unplanned ones. */
  onDepartures(outcome: "passed" | "held", count: number): void;
  /** A hold has ended. */
  onGuardExit(reason: Exit): void;
  /** Prometheus text. */
  read(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** The registrar's metrics, in a registry of their own. */
export function createMetrics(sources: GaugeSources): Metrics {
  const { registrations, leases, leaseStreams, etcdStrain, etcdCircuitOpen, checksRunning, leader, guardHeld } =
    sources;
  const registry = new Registry();
  const registers = [registry];

  const counter = (name: string, help: string) => new Counter({ name: `fingerpost_${name}`, help, registers });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `fingerpost_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });

  const requests = new Counter({
    name: "fingerpost_etcd_requests_total",
    help: "Calls and streams to etcd, by method and by what they came to.",
    labelNames: ["method", "code"],
    registers,
  });
  const checks = new Counter({
    name: "fingerpost_checks_total",
    help: "Health checks made, by what they came to; void: it said nothing of the instance.",
    labelNames: ["type", "result"],
    registers,
  });
  const authentications = counter("etcd_authentications_total", "Authenticate calls to etcd.");
  const renewals = counter("lease_renewals_total", "Lease renewals that etcd has answered.");
  const watchRestarts = counter("watch_restarts_total", "Watches that ended and were opened again, or listed again.");
  const publishes = counter("publishes_total", "Commits to Redis that changed something.");
  const differences = new Counter({
    name: "fingerpost_audit_differences_total",
    help: "What an audit found to differ: a key in Redis from what was written, or etcd from what its watch told.",
    labelNames: ["of"],
    registers,
  });
  // From 0 on: a rate of a series that begins at 1 misses the first.
  for (const part of ["etcd", "head", "catalog", "snapshot"]) differences.inc({ of: part }, 0);
  const departures = new Counter({
    name: "fingerpost_guard_departures_total",
    help: "Instances that departed unplanned, by what the guard did.",
    labelNames: ["outcome"],
    registers,
  });
  const exits = new Counter({
    name: "fingerpost_guard_exits_total",
    help: "Instances that are held back no more, by why.",
    labelNames: ["reason"],
    registers,
  });
  for (const outcome of ["passed", "held"]) departures.inc({ outcome }, 0);
  for (const reason of EXITS) exits.inc({ reason }, 0);
  const lag = new Histogram({
    name: "fingerpost_publish_lag_seconds",
    help: "From an etcd event to its commit in Redis.",
    buckets: LAG_BUCKETS_SECONDS,
    registers,
  });
  gauge("registrations", "Instances this agent holds.", registrations);
  gauge("leases", "Leases this process renews.", leases);
  gauge("lease_streams", "LeaseKeepAlive streams that are open.", leaseStreams);
  gauge("etcd_strain", "How slowly etcd answers renewals: 0 at ease, 1 at worst.", etcdStrain);
  gauge("etcd_circuit_open", "1 while calls to etcd fail at once, since the ones before did.", () =>
    etcdCircuitOpen() ? 1 : 0,
  );
  gauge("checks_running", "Health checks under way.", checksRunning);
  gauge("guard_held", "Instances that are held back and served on as suspect.", guardHeld);
  gauge("leader", "1 while this process publishes.", () => (leader() ? 1 : 0));

  return {
    onEtcdRequest: (method, code) => requests.inc({ method, code }),
    onAuthentication: () => authentications.inc(),
    onRenewal: () => renewals.inc(),
    onCheck: (type, result) => checks.inc({ type, result }),
    onWatchRestart: () => watchRestarts.inc(),
    onPublish: () => publishes.inc(),
    onAuditDifference: (of) => differences.inc({ of }),
    onPublishLag: (seconds) => lag.observe(seconds),
    onDepartures: (outcome, count) => departures.inc({ outcome }, count),
    onGuardExit: (reason) => exits.inc({ reason }),
    async read() {
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
