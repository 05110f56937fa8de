import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CLUSTER_KEY, ELECTION_KEY, instanceKey, PUBLISHER_KEY, sentinelKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration } from "../../contract/registration.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { decodeLeaderBeat } from "../../registrar/publisher/heartbeat.ts";
import { startPublisher, type Publisher, type PublisherOptions } from "../../registrar/publisher/publisher.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts, storedIn, type Stored } from "./fixture.ts";
import { registration } from "../support/instance.ts";

let etcdServer: TestEtcd;
let redis: TestRedis;
let root: Etcd;
let store: SnapshotStore;
let stored: Stored;
const ending: (() => Promise<void>)[] = [];

beforeAll(async () => {
  [etcdServer, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  root = createEtcd({ endpoints: [etcdServer.endpoint], ...etcdServer.root, ...parts });
  store = createDirectStore({ url: redis.url, ...parts });
  stored = storedIn(store);
});

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
  const leftovers = [];
  for await (const page of root.list("/fingerpost/", new AbortController().signal)) leftovers.push(...page.entries);
  for (const { key } of leftovers) if (key !== CLUSTER_KEY) await root.transact([], [{ type: "delete", key }]);
  await redis.cli("FLUSHALL");
});

afterAll(async () => {
  await root.close();
  await store.close();
  await Promise.all([etcdServer.close(), redis.close()]);
});

/** A publisher as a process has it: an etcd client, leases and a connection to Redis of its own. */
function start(
  options: Partial<PublisherOptions> = {},
  endpoint = etcdServer.endpoint,
): { readonly publisher: Publisher; readonly close: () => Promise<void> } {
  const etcd = createEtcd({ endpoints: [endpoint], ...etcdServer.user, ...parts, timeoutMs: 1500 });
  const leases = createLeaseKeeper({ etcd, ...parts });
  const own = createDirectStore({ url: redis.url, ...parts });
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
  ending.push(close);
  return { publisher, close };
}

async function put(service: string, id: string, namespace = "default"): Promise<void> {
  const key = instanceKey({ namespace, service, instance: id });
  await root.transact([], [{ type: "put", key, value: encodeRegistration(registration(id)) }]);
}

async function remove(service: string, id: string): Promise<void> {
  await root.transact([], [{ type: "delete", key: instanceKey({ namespace: "default", service, instance: id }) }]);
}

async function ready(publisher: Publisher): Promise<void> {
  await until("the publisher is ready", () => publisher.status().ready);
}

const instancesOf = async (service: string) => (await stored.snapshot(service))?.instances.map(({ id }) => id);

describe("a publisher", () => {
  it("publishes what etcd has at its start, then each change within a fraction of a second", async () => {
    await put("web", "1");
    const lags: number[] = [];
    const { publisher } = start({ onPublishLag: (seconds) => lags.push(seconds) });
    await ready(publisher);
    expect(await instancesOf("web")).toEqual(["1"]);
    expect(publisher.status()).toMatchObject({ role: "leader", notReady: [], undecodable: 0 });

    await put("web", "2");
    await until("the second instance is published", async () => (await instancesOf("web"))?.length === 2);
    await remove("web", "1");
    await remove("web", "2");
    await until("the service has ended", async () => (await stored.snapshot("web"))?.tombstoneUntil);
    const head = await stored.head();
    expect(head).toMatchObject({ complete: true, services: 0, instances: 0 });
    expect(head?.ring.entries).toEqual([[head?.revision, "web", "removed"]]);
    expect(Math.max(...lags)).toBeLessThan(1);
  });

  it("publishes a complete head of the default namespace for an empty etcd", async () => {
    const { publisher } = start();
    await ready(publisher);
    expect(await stored.head()).toMatchObject({ complete: true, services: 0 });
    const { entry } = await root.get(CLUSTER_KEY);
    expect((await stored.head())?.identity).toBe(entry?.value);
  });

  it("publishes a namespace that appears later", async () => {
    const { publisher } = start();
    await ready(publisher);
    await put("api", "1", "other");
    const other = storedIn(store, "other");
    await until("the namespace is there", async () => (await other.head())?.complete);
    expect((await other.snapshot("api"))?.instances).toHaveLength(1);
    await ready(publisher);
    expect(publisher.status().namespaces.map(({ namespace, state }) => [namespace, state])).toEqual([
      ["default", "live"],
      ["other", "live"],
    ]);
  });

  it("publishes on its way out also what etcd has answered and its watch has yet to deliver", async () => {
    const etcd = createEtcd({ endpoints: [etcdServer.endpoint], ...etcdServer.user, ...parts });
    ending.push(() => etcd.close());
    let delayMs = 0;
    const slow: Etcd = {
      ...etcd,
      watch: (prefix, from, handlers) =>
        etcd.watch(prefix, from, {
          ...handlers,
          onEvents: (events) => void parts.clock.after(delayMs, () => handlers.onEvents(events)),
        }),
    };
    await put("web", "1");
    const { publisher, close } = start({ etcd: slow });
    await ready(publisher);
    delayMs = 400;
    await remove("web", "1");
    await close();
    expect(await stored.snapshot("web")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
  });

  it("holds, and then ends, the services of a namespace whose last registration went while nobody published", async () => {
    await put("web", "1", "elsewhere");
    const first = start();
    await ready(first.publisher);
    await until("the leader tells of the namespace", async () => {
      const beat = decodeLeaderBeat((await root.get(PUBLISHER_KEY)).entry?.value ?? "");
      return beat?.published && beat.namespaces.includes("elsewhere");
    });
    await first.close();
    await root.transact(
      [],
      [{ type: "delete", key: instanceKey({ namespace: "elsewhere", service: "web", instance: "1" }) }],
    );

    start({ guard: { holdSeconds: 1 } });
    const elsewhere = storedIn(store, "elsewhere");
    const held = await until("its instance is held", async () => {
      const [instance] = (await elsewhere.snapshot("web"))?.instances ?? [];
      return instance?.status === "suspect" && instance;
    });
    expect(held).toMatchObject({ id: "1", address: "127.0.0.1" });
    await until("the service has ended", async () => (await elsewhere.snapshot("web"))?.tombstoneUntil);
    expect(await elsewhere.head()).toMatchObject({ complete: true, services: 0 });
  });

  it("gives up a namespace that has been empty for long, and takes it up again when it is used again", async () => {
    let aheadMs = 0;
    const clock = { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs };
    const { publisher } = start({ clock });
    const published = () => publisher.status().namespaces.map(({ namespace }) => namespace);
    const key = instanceKey({ namespace: "passing", service: "web", instance: "1" });
    await put("web", "1", "passing");
    await until("it is published", () => published().includes("passing"));
    await ready(publisher);
    await root.transact([], [{ type: "delete", key }]);
    const passing = storedIn(store, "passing");
    await until("its service has ended", async () => (await passing.snapshot("web"))?.tombstoneUntil);
    const before = await passing.head();

    await until("it is published no more", () => {
      aheadMs += 10_000;
      return !published().includes("passing");
    });
    expect(published()).toEqual(["default"]);
    expect(aheadMs).toBeGreaterThan(100_000);

    await put("web", "1", "passing");
    await until("it is published again", async () => (await passing.snapshot("web"))?.instances.length);
    expect((await passing.head())?.revision).toBeGreaterThan(before?.revision ?? Infinity);
  });

  it("does not give up a namespace of which etcd has nothing, while instances of it are held", async () => {
    let aheadMs = 0;
    const clock = { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs };
    const { publisher } = start({ clock, guard: { holdSeconds: 86_400, probeSeconds: 0 } });
    const { lease } = await root.grantLease(60);
    const key = instanceKey({ namespace: "passing", service: "web", instance: "1" });
    await root.transact(
      [],
      [
        { type: "put", key: sentinelKey("an-agent", lease), value: "{}", lease },
        { type: "put", key, value: encodeRegistration(registration("1")), lease },
      ],
    );
    const passing = storedIn(store, "passing");
    const status = async () => (await passing.snapshot("web"))?.instances[0]?.status;
    await until("it is published", async () => (await status()) === "up");
    await root.revokeLease(lease);
    await until("it is held", async () => (await status()) === "suspect");
    const published = () => publisher.status().namespaces.map(({ namespace }) => namespace);
    for (let beat = 0; beat < 5; beat++) {
      aheadMs += 100_000;
      const before = (await passing.head())?.heartbeatAt ?? 0;
      await until("it goes on", async () => ((await passing.head())?.heartbeatAt ?? 0) > before);
    }
    expect(published()).toContain("passing");
    await publisher.guard.release({ namespace: "passing" });
    await until("it is published no more", () => {
      aheadMs += 10_000;
      return !published().includes("passing");
    });
  });

  it("confirms its watch again and again, by the moment at which a beat was sent, not seen", async () => {
    const proxy = await startProxy(etcdServer.port);
    ending.push(() => proxy.close());
    proxy.latencyMs(50);
    const { publisher } = start({}, `http://127.0.0.1:${proxy.port}`);
    await ready(publisher);
    const first = await until("the watch is confirmed", async () => (await stored.head())?.confirmedAt);
    const later = await until("the watch is confirmed by the beat that etcd has now", async () => {
      const head = await stored.head();
      const beat = decodeLeaderBeat((await root.get(PUBLISHER_KEY)).entry?.value ?? "");
      return head && head.confirmedAt > first && head.confirmedAt === beat?.sentAt ? head : undefined;
    });
    expect(later.heartbeatAt - later.confirmedAt).toBeGreaterThanOrEqual(50);
    expect(later.heartbeatAt - later.confirmedAt).toBeLessThan(1000);
  });

  it("leaves out a value that is no registration, and goes on with the rest", async () => {
    await root.transact([], [{ type: "put", key: "/fingerpost/default/web/bad", value: "{}" }]);
    await put("web", "1");
    const { publisher } = start();
    await ready(publisher);
    expect(publisher.status().undecodable).toBe(1);
    expect(await instancesOf("web")).toEqual(["1"]);
  });

  it("publishes on its way out what it has just seen, and resigns", async () => {
    const { publisher, close } = start();
    await ready(publisher);
    const before = publisher.status().etcdRevision;
    await put("web", "1");
    await until("the watch has told of it", () => publisher.status().etcdRevision > before);
    await close();
    expect(await instancesOf("web")).toEqual(["1"]);
    expect((await root.get(ELECTION_KEY)).entry).toBeUndefined();
  });
});

describe("with etcd killed", () => {
  it("the heartbeat goes on and the confirmation stays; with etcd back, changes appear again", async () => {
    const { publisher } = start();
    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    await etcdServer.kill();
    const atDeath = await until("no beat is on its way", async () => {
      const head = await stored.head();
      return head && head.heartbeatAt - head.confirmedAt > 400 ? head : undefined;
    });
    const later = await until("heartbeats go on", async () => {
      const head = await stored.head();
      return head && head.heartbeatAt > atDeath.heartbeatAt + 500 ? head : undefined;
    });
    expect(later.confirmedAt).toBe(atDeath.confirmedAt);
    expect(await instancesOf("web")).toEqual(["1"]);

    await etcdServer.start();
    await until("etcd takes writes again", async () => {
      await put("web", "2");
      return true;
    });
    await until("the change is published", async () => (await instancesOf("web"))?.length === 2);
    await until("the watch is confirmed again", async () => {
      return ((await stored.head())?.confirmedAt ?? 0) > later.confirmedAt;
    });
    await ready(publisher);
  });
});

describe("with Redis killed", () => {
  it("everything is there again after it is back, with what changed meanwhile", async () => {
    const { publisher } = start();
    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    await redis.kill();
    await put("web", "2");
    await until("the fault is told", () => publisher.status().namespaces[0]?.lastError);
    await redis.start();
    await until("both instances are there", async () => (await instancesOf("web"))?.length === 2, { timeoutMs: 8000 });
    await ready(publisher);
    expect(await stored.head()).toMatchObject({ complete: true, services: 1, instances: 2 });
  });
});

describe("with etcd restored from a backup", () => {
  it("what the backup has is published under a later epoch and revision, and what it lacks is held", async () => {
    const backup = await startTestEtcd();
    ending.push(() => backup.close());
    const before = createEtcd({ endpoints: [etcdServer.endpoint], ...etcdServer.user, ...parts });
    const after = createEtcd({ endpoints: [backup.endpoint], ...backup.user, ...parts });
    let current = before;
    // As of a server that was exchanged: calls reach the new one, and the watch that was open stays silent.
    const exchanged: Etcd = {
      get: (key) => current.get(key),
      list: (prefix, signal, from) => current.list(prefix, signal, from),
      count: (prefix, revision) => current.count(prefix, revision),
      transact: (...args) => current.transact(...args),
      grantLease: (ttlSeconds) => current.grantLease(ttlSeconds),
      revokeLease: (lease) => current.revokeLease(lease),
      describeLease: (lease) => current.describeLease(lease),
      watch: (...args) => current.watch(...args),
      openRenewals: (handlers) => current.openRenewals(handlers),
      close: async () => {
        await Promise.all([before.close(), after.close()]);
      },
    };
    for (let index = 0; index < 50; index++) await put("web", "1");
    await put("web", "2");
    const { publisher, close } = start({ etcd: exchanged });
    ending.push(() => exchanged.close());
    ending.push(close);
    await ready(publisher);
    const headBefore = await stored.head();

    const identity = (await root.get(CLUSTER_KEY)).entry?.value ?? "";
    const key = instanceKey({ namespace: "default", service: "web", instance: "1" });
    const value = encodeRegistration(registration("1"));
    await after.transact([], [{ type: "put", key: CLUSTER_KEY, value: identity }]);
    await after.transact([], [{ type: "put", key, value }]);
    current = after;
    const epochBefore = headBefore?.epoch ?? Infinity;
    await until("the backup is published", async () => ((await stored.head())?.epoch ?? 0) > epochBefore);
    await ready(publisher);
    expect((await stored.snapshot("web"))?.instances.map(({ id, status }) => [id, status])).toEqual([
      ["1", "up"],
      ["2", "suspect"],
    ]);
    const head = await stored.head();
    expect(head?.etcdRevision).toBeLessThan(headBefore?.etcdRevision ?? 0);
    expect(head?.revision).toBeGreaterThan(headBefore?.revision ?? Infinity);
  });
});

describe("of two publishers", () => {
  it("one leads and the other is ready to; the second takes over when the first resigns", async () => {
    const first = start();
    await ready(first.publisher);
    // It would come by only every 10 s, were it not told that the key is gone.
    const second = start({ name: "b", electionTtlSeconds: 20 });
    await ready(second.publisher);
    expect(second.publisher.status().role).toBe("standby");
    const before = await stored.head();

    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    await first.close();
    await until("the second leads", () => second.publisher.status().role === "leader", { timeoutMs: 4000 });
    await ready(second.publisher);
    const after = await stored.head();
    expect(after?.epoch).toBeGreaterThan(before?.epoch ?? Infinity);
    expect(after?.revision).toBeGreaterThan(before?.revision ?? Infinity);
    expect(await stored.snapshot("web")).toMatchObject({ epoch: after?.epoch, instances: [{ id: "1" }] });
  });

  it("the first, cut off from etcd, cannot overwrite what the second has published", async () => {
    const proxy = await startProxy(etcdServer.port);
    ending.push(() => proxy.close());
    const first = start({}, `http://127.0.0.1:${proxy.port}`);
    await ready(first.publisher);
    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    const epochFirst = (await stored.head())?.epoch ?? Infinity;

    const second = start({ name: "b" });
    proxy.blackhole(true);
    await until("the second leads", () => second.publisher.status().role === "leader");
    await ready(second.publisher);
    await put("web", "2");
    await until("the change is published", async () => (await instancesOf("web"))?.length === 2);
    // The first goes on to beat into Redis, and is told by it that it has been succeeded.
    await until("the first has been refused", () => first.publisher.status().namespaces[0]?.state !== "live");
    const head = await stored.head();
    expect(head?.epoch).toBeGreaterThan(epochFirst);

    proxy.blackhole(false);
    await until("the first stands by", () => first.publisher.status().role === "standby");
    await ready(first.publisher);
    expect((await stored.head())?.epoch).toBe(head?.epoch);
    expect(await instancesOf("web")).toEqual(["1", "2"]);
    expect(second.publisher.status().role).toBe("leader");
  });

  it("the leader stops once its election key is another's", async () => {
    const { publisher } = start();
    await ready(publisher);
    await root.transact([], [{ type: "put", key: PUBLISHER_KEY, value: "not a beat" }]);
    await root.transact([], [{ type: "delete", key: ELECTION_KEY }]);
    await root.transact([], [{ type: "put", key: ELECTION_KEY, value: "somebody" }]);
    await until("it stands by", () => publisher.status().role === "standby");
    const head = await redis.cli("GET", headKey("default"));
    await put("web", "1");
    await until("it has seen the change", () => publisher.status().etcdRevision > 0);
    expect(await redis.cli("GET", headKey("default"))).toBe(head);
    await root.transact([], [{ type: "delete", key: ELECTION_KEY }]);
    await until("it leads again", () => instancesOf("web"));
  });
});
