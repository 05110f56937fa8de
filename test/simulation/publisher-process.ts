import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Log } from "../../node/log.ts";
import { startPublisher, type Publisher } from "../../registrar/publisher/publisher.ts";
import { createEtcdClient, type EtcdClient } from "./etcd-client.ts";
import type { EtcdModel } from "./etcd-model.ts";
import { createLink, type Link } from "./link.ts";
import { createProcess, randomOf, type SimulatedProcess } from "./process.ts";
import { createSnapshotStore } from "./redis-client.ts";
import type { RedisModel } from "./redis-model.ts";
import type { Timeline } from "./timeline.ts";

export const HOLD_MS = 20_000;
const AUDIT_INTERVAL_SECONDS = 15;

/** One life of a publisher: the product's own, whole, on what it has of etcd and Redis. */
export interface PublisherProcess {
  readonly process: SimulatedProcess;
  readonly publisher: Publisher;
  readonly etcd: EtcdClient;
  readonly etcdLink: Link;
  readonly redisLink: Link;
  /** Ends it in order. */
  readonly close: () => Promise<void>;
}

export interface PublisherProcessOptions {
  readonly timeline: Timeline;
  readonly seed: number;
  readonly name: string;
  readonly etcd: EtcdModel;
  readonly redis: RedisModel;
  readonly namespace: string;
  readonly log: Log;
}

export function startPublisherProcess(options: PublisherProcessOptions): PublisherProcess {
  const { timeline, seed, name, log } = options;
  const process = createProcess(timeline, seed, name);
  const { clock, random } = process;
  const etcdLink = createLink({ timeline, process, random: randomOf(seed, `${name} etcd`) });
  const redisLink = createLink({ timeline, process, random: randomOf(seed, `${name} redis`) });
  const etcd = createEtcdClient({ model: options.etcd, timeline, process, link: etcdLink });
  const leases = createLeaseKeeper({ etcd, clock, random, log });
  const publisher = startPublisher({
    etcd,
    leases,
    store: createSnapshotStore(options.redis, redisLink, name),
    name,
    namespaces: [options.namespace],
    adopt: false,
    auditIntervalSeconds: AUDIT_INTERVAL_SECONDS,
    // Probes go to real hosts, of which a simulated world has none.
    guard: { holdSeconds: HOLD_MS / 1000, probeSeconds: 0 },
    randomBytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256)),
    clock,
    random,
    log,
  });
  return {
    process,
    publisher,
    etcd,
    etcdLink,
    redisLink,
    async close() {
      await publisher.close();
      await leases.close();
      await etcd.close();
    },
  };
}
