/** What is read of Prometheus' text format: each sample with its labels. */
interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

/** `withZeros`: most of what gRPC counts has never happened, and reading hundreds of such lines each second adds up. */
function* samplesOf(text: string, prefix: string, withZeros = true): Generator<Sample, void, void> {
  for (const line of text.split("\n")) {
    if (!line.startsWith(prefix) || (!withZeros && line.endsWith(" 0"))) continue;
    const match = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const labels = new Map(
      [...(match[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", value = ""]) => [key, value]),
    );
    yield { name: match[1] ?? "", labels, value: Number(match[3]) };
  }
}

/** Sums over all labels, by name, of the project's own metrics; the buckets of histograms have no such sum. */
export function ownMetrics(text: string): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const { name, value } of samplesOf(text, "fingerpost_")) {
    if (!name.endsWith("_bucket")) sums[name] = (sums[name] ?? 0) + value;
  }
  return sums;
}

export interface EtcdMetrics {
  readonly requests: Readonly<Record<string, number>>;
  readonly watchers?: number;
  readonly streams?: number;
  readonly leases?: number;
}

/**
 * What one member has been asked since it began, by both lines of etcd. `isFirstLife`: leases are told by counters of
 * grants and ends alone, which say nothing of those that the member found when it began.
 */
export function etcdMetrics(text: string, isFirstLife: boolean): EtcdMetrics {
  const requests: Record<string, number> = {};
  let streamsOpen = 0;
  for (const { name, labels, value } of samplesOf(text, "grpc_server_", false)) {
    const isStream = labels.get("grpc_type") === "bidi_stream";
    if (name === "grpc_server_handled_total" && isStream) streamsOpen -= value;
    if (name !== "grpc_server_started_total") continue;
    if (isStream) streamsOpen += value;
    const method = labels.get("grpc_method") ?? "";
    requests[method] = (requests[method] ?? 0) + value;
  }
  const gauges = new Map([...samplesOf(text, "etcd_debugging_")].map(({ name, value }) => [name, value]));
  const watchers = gauges.get("etcd_debugging_mvcc_watcher_total");
  const granted = gauges.get("etcd_debugging_lease_granted_total");
  const revoked = gauges.get("etcd_debugging_lease_revoked_total");
  return {
    requests,
    streams: streamsOpen,
    ...(watchers === undefined ? {} : { watchers }),
    // Etcd ends a lease that has run out by revoking it, too.
    ...(isFirstLife && granted !== undefined && revoked !== undefined ? { leases: granted - revoked } : {}),
  };
}
