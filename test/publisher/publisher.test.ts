import { describe, expect, it } from "vitest";
import { CLUSTER_KEY, ELECTION_KEY, instanceKey, PUBLISHER_KEY, sentinelKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration } from "../../contract/registration.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { decodeLeaderBeat } from "../../registrar/publisher/heartbeat.ts";
import { registration } from "../support/instance.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { parts, storedIn } from "./fixture.ts";
import { usePublishers } from "./publishers.ts";

const { world, start, put, ready, instancesOf } = usePublishers();

async function remove(service: string, id: string): Promise<void> {
  const key = instanceKey({ namespace: "default", service, instance: id });
  await world.root.transact([], [{ type: "delete", key }]);
}

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
    await until("the service has ended", async () => (await world.stored.snapshot("web"))?.tombstoneUntil);
    const head = await world.stored.head();
    expect(head).toMatchObject({ complete: true, services: 0, instances: 0 });
    expect(head?.ring.entries).toEqual([[head?.revision, "web", "removed"]]);
    expect(Math.max(...lags)).toBeLessThan(1);
  });

  it("publishes a complete head of the default namespace for an empty etcd", async () => {
    const { publisher } = start();
    await ready(publisher);
    expect(await world.stored.head()).toMatchObject({ complete: true, services: 0 });
    const { entry } = await world.root.get(CLUSTER_KEY);
    expect((await world.stored.head())?.identity).toBe(entry?.value);
  });

  it("publishes a namespace that appears later", async () => {
    const { publisher } = start();
    await ready(publisher);
    await put("api", "1", "other");
    const other = storedIn(world.store, "other");
    await until("the namespace is there", async () => (await other.head())?.complete);
    expect((await other.snapshot("api"))?.instances).toHaveLength(1);
    await ready(publisher);
    expect(publisher.status().namespaces.map(({ namespace, state }) => [namespace, state])).toEqual([
      ["default", "live"],
      ["other", "live"],
    ]);
  });

  it("publishes on its way out also what etcd has answered and its watch has yet to deliver", async () => {
    const etcd = createEtcd({ endpoints: [world.etcdServer.endpoint], ...world.etcdServer.user, ...parts });
    world.ending.push(() => etcd.close());
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
    expect(await world.stored.snapshot("web")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
  });

  it("holds, and then ends, the services of a namespace whose last registration went while nobody published", async () => {
    await put("web", "1", "elsewhere");
    const first = start();
    await ready(first.publisher);
    await until("the leader tells of the namespace", async () => {
      const beat = decodeLeaderBeat((await world.root.get(PUBLISHER_KEY)).entry?.value ?? "");
      return beat?.published && beat.namespaces.includes("elsewhere");
    });
    await first.close();
    await world.root.transact(
      [],
      [{ type: "delete", key: instanceKey({ namespace: "elsewhere", service: "web", instance: "1" }) }],
    );

    start({ guard: { holdSeconds: 1 } });
    const elsewhere = storedIn(world.store, "elsewhere");
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
    await world.root.transact([], [{ type: "delete", key }]);
    const passing = storedIn(world.store, "passing");
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
    const { lease } = await world.root.grantLease(60);
    const key = instanceKey({ namespace: "passing", service: "web", instance: "1" });
    await world.root.transact(
      [],
      [
        { type: "put", key: sentinelKey("an-agent", lease), value: "{}", lease },
        { type: "put", key, value: encodeRegistration(registration("1")), lease },
      ],
    );
    const passing = storedIn(world.store, "passing");
    const status = async () => (await passing.snapshot("web"))?.instances[0]?.status;
    await until("it is published", async () => (await status()) === "up");
    await world.root.revokeLease(lease);
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
    const proxy = await startProxy(world.etcdServer.port);
    world.ending.push(() => proxy.close());
    proxy.latencyMs(50);
    const { publisher } = start({}, `http://127.0.0.1:${proxy.port}`);
    await ready(publisher);
    const first = await until("the watch is confirmed", async () => (await world.stored.head())?.confirmedAt);
    const later = await until("the watch is confirmed by the beat that etcd has now", async () => {
      const head = await world.stored.head();
      const beat = decodeLeaderBeat((await world.root.get(PUBLISHER_KEY)).entry?.value ?? "");
      return head && head.confirmedAt > first && head.confirmedAt === beat?.sentAt ? head : undefined;
    });
    expect(later.heartbeatAt - later.confirmedAt).toBeGreaterThanOrEqual(50);
    expect(later.heartbeatAt - later.confirmedAt).toBeLessThan(1000);
  });

  it("leaves out a value that is no registration, and goes on with the rest", async () => {
    await world.root.transact([], [{ type: "put", key: "/fingerpost/default/web/bad", value: "{}" }]);
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
    expect((await world.root.get(ELECTION_KEY)).entry).toBeUndefined();
  });
});
