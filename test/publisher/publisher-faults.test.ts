import { describe, expect, it } from "vitest";
import { CLUSTER_KEY, ELECTION_KEY, instanceKey, PUBLISHER_KEY } from "../../contract/etcd-keys.ts";
import { encodeRegistration } from "../../contract/registration.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { registration } from "../support/instance.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { parts } from "./fixture.ts";
import { usePublishers } from "./publishers.ts";

const { world, start, put, ready, instancesOf } = usePublishers();

describe("with etcd killed", () => {
  it("the heartbeat goes on and the confirmation stays; with etcd back, changes appear again", async () => {
    const { publisher } = start();
    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    await world.etcdServer.kill();
    const atDeath = await until("no beat is on its way", async () => {
      const head = await world.stored.head();
      return head && head.heartbeatAt - head.confirmedAt > 400 ? head : undefined;
    });
    const later = await until("heartbeats go on", async () => {
      const head = await world.stored.head();
      return head && head.heartbeatAt > atDeath.heartbeatAt + 500 ? head : undefined;
    });
    expect(later.confirmedAt).toBe(atDeath.confirmedAt);
    expect(await instancesOf("web")).toEqual(["1"]);

    await world.etcdServer.start();
    await until("etcd takes writes again", async () => {
      await put("web", "2");
      return true;
    });
    await until("the change is published", async () => (await instancesOf("web"))?.length === 2);
    await until("the watch is confirmed again", async () => {
      return ((await world.stored.head())?.confirmedAt ?? 0) > later.confirmedAt;
    });
    await ready(publisher);
  });
});

describe("with Redis killed", () => {
  it("everything is there again after it is back, with what changed meanwhile", async () => {
    const { publisher } = start();
    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    await world.redis.kill();
    await put("web", "2");
    await until("the fault is told", () => publisher.status().namespaces[0]?.lastError);
    await world.redis.start();
    await until("both instances are there", async () => (await instancesOf("web"))?.length === 2, { timeoutMs: 8000 });
    await ready(publisher);
    expect(await world.stored.head()).toMatchObject({ complete: true, services: 1, instances: 2 });
  });
});

describe("with etcd restored from a backup", () => {
  it("what the backup has is published under a later epoch and revision, and what it lacks is held", async () => {
    const backup = await startTestEtcd();
    world.ending.push(() => backup.close());
    const before = createEtcd({ endpoints: [world.etcdServer.endpoint], ...world.etcdServer.user, ...parts });
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
    world.ending.push(() => exchanged.close());
    world.ending.push(close);
    await ready(publisher);
    const headBefore = await world.stored.head();

    const identity = (await world.root.get(CLUSTER_KEY)).entry?.value ?? "";
    const key = instanceKey({ namespace: "default", service: "web", instance: "1" });
    const value = encodeRegistration(registration("1"));
    await after.transact([], [{ type: "put", key: CLUSTER_KEY, value: identity }]);
    await after.transact([], [{ type: "put", key, value }]);
    current = after;
    const epochBefore = headBefore?.epoch ?? Infinity;
    await until("the backup is published", async () => ((await world.stored.head())?.epoch ?? 0) > epochBefore);
    await ready(publisher);
    expect((await world.stored.snapshot("web"))?.instances.map(({ id, status }) => [id, status])).toEqual([
      ["1", "up"],
      ["2", "suspect"],
    ]);
    const head = await world.stored.head();
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
    const before = await world.stored.head();

    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    await first.close();
    await until("the second leads", () => second.publisher.status().role === "leader", { timeoutMs: 4000 });
    await ready(second.publisher);
    const after = await world.stored.head();
    expect(after?.epoch).toBeGreaterThan(before?.epoch ?? Infinity);
    expect(after?.revision).toBeGreaterThan(before?.revision ?? Infinity);
    expect(await world.stored.snapshot("web")).toMatchObject({ epoch: after?.epoch, instances: [{ id: "1" }] });
  });

  it("the first, cut off from etcd, cannot overwrite what the second has published", async () => {
    const proxy = await startProxy(world.etcdServer.port);
    world.ending.push(() => proxy.close());
    const first = start({}, `http://127.0.0.1:${proxy.port}`);
    await ready(first.publisher);
    await put("web", "1");
    await until("the service is published", () => instancesOf("web"));
    const epochFirst = (await world.stored.head())?.epoch ?? Infinity;

    const second = start({ name: "b" });
    proxy.blackhole(true);
    await until("the second leads", () => second.publisher.status().role === "leader");
    await ready(second.publisher);
    await put("web", "2");
    await until("the change is published", async () => (await instancesOf("web"))?.length === 2);
    // The first goes on to beat into Redis, and is told by it that it has been succeeded.
    await until("the first has been refused", () => first.publisher.status().namespaces[0]?.state !== "live");
    const head = await world.stored.head();
    expect(head?.epoch).toBeGreaterThan(epochFirst);

    proxy.blackhole(false);
    await until("the first stands by", () => first.publisher.status().role === "standby");
    await ready(first.publisher);
    expect((await world.stored.head())?.epoch).toBe(head?.epoch);
    expect(await instancesOf("web")).toEqual(["1", "2"]);
    expect(second.publisher.status().role).toBe("leader");
  });

  it("the leader stops once its election key is another's", async () => {
    const { publisher } = start();
    await ready(publisher);
    await world.root.transact([], [{ type: "put", key: PUBLISHER_KEY, value: "not a beat" }]);
    await world.root.transact([], [{ type: "delete", key: ELECTION_KEY }]);
    await world.root.transact([], [{ type: "put", key: ELECTION_KEY, value: "somebody" }]);
    await until("it stands by", () => publisher.status().role === "standby");
    const head = await world.redis.cli("GET", headKey("default"));
    await put("web", "1");
    await until("it has seen the change", () => publisher.status().etcdRevision > 0);
    expect(await world.redis.cli("GET", headKey("default"))).toBe(head);
    await world.root.transact([], [{ type: "delete", key: ELECTION_KEY }]);
    await until("it leads again", () => instancesOf("web"));
  });
});
