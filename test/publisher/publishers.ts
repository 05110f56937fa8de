import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll } from "vitest";
import { CLUSTER_KEY, instanceKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration } from "../../contract/registration.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { startPublisher, type Publisher, type PublisherOptions } from "../../registrar/publisher/publisher.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { registration } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts, storedIn, type Stored } from "./fixture.ts";

/** Real servers of one test file, and publishers on them, which end with the test that started them. */
export interface PublisherWorld {
  readonly etcdServer: TestEtcd;
  readonly redis: TestRedis;
  /** A client that may do everything. */
  readonly root: Etcd;
  readonly store: SnapshotStore;
  readonly stored: Stored;
  /** Run after the test, the last first. */
  readonly ending: (() => Promise<void>)[];
}

interface Started {
  readonly publisher: Publisher;
  readonly close: () => Promise<void>;
}

/** Sets the servers up before the tests of the file that calls this, and empties them after each. */
export function usePublishers() {
  const world = { ending: [] } as unknown as { -readonly [K in keyof PublisherWorld]: PublisherWorld[K] };

  beforeAll(async () => {
    [world.etcdServer, world.redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
    world.root = createEtcd({ endpoints: [world.etcdServer.endpoint], ...world.etcdServer.root, ...parts });
    world.store = createDirectStore({ url: world.redis.url, ...parts });
    world.stored = storedIn(world.store);
  });

  afterEach(async () => {
    for (const end of world.ending.splice(0).toReversed()) await end();
    const { root, redis } = world;
    const leftovers = [];
    for await (const page of root.list("/fingerpost/", new AbortController().signal)) leftovers.push(...page.entries);
    for (const { key } of leftovers) if (key !== CLUSTER_KEY) await root.transact([], [{ type: "delete", key }]);
    await redis.cli("FLUSHALL");
  });

  afterAll(async () => {
    await world.root.close();
    await world.store.close();
    await Promise.all([world.etcdServer.close(), world.redis.close()]);
  });

  /** A publisher as a process has it: an etcd client, leases and a connection to Redis of its own. */
  function start(options: Partial<PublisherOptions> = {}, endpoint = world.etcdServer.endpoint): Started {
    const etcd = createEtcd({ endpoints: [endpoint], ...world.etcdServer.user, ...parts, timeoutMs: 1500 });
    const leases = createLeaseKeeper({ etcd, ...parts });
    const own = createDirectStore({ url: world.redis.url, ...parts });
    const publisher = startPublisher({
      etcd,
      leases,
      store: own,
      name: "a",
      namespaces: ["default"],
      adopt: false,
      heartbeatIntervalMs: 200,
      electionTtlSeconds: 2,
      randomBytes,
      ...parts,
      ...options,
    });
    let closed: Promise<void> | undefined;
    const close = () =>
      (closed ??= (async () => {
        await publisher.close();
        await leases.close();
        await etcd.close();
        await own.close();
      })());
    world.ending.push(close);
    return { publisher, close };
  }

  async function put(service: string, id: string, namespace = "default"): Promise<void> {
    const key = instanceKey({ namespace, service, instance: id });
    await world.root.transact([], [{ type: "put", key, value: encodeRegistration(registration(id)) }]);
  }

  async function ready(publisher: Publisher): Promise<void> {
    await until("the publisher is ready", () => publisher.status().ready);
  }

  const instancesOf = async (service: string) => (await world.stored.snapshot(service))?.instances.map(({ id }) => id);

  return { world: world as PublisherWorld, start, put, ready, instancesOf };
}
