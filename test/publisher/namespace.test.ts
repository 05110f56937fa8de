import { describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { CATALOG_INTERVAL_MS, type PublishResult } from "../../registrar/publisher/namespace-publisher.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { until } from "../support/until.ts";
import { parts, startNamespace } from "./fixture.ts";
import { live, setStage } from "./stage.ts";

const stage = setStage();

describe("publishing", () => {
  it("commits a change: snapshot, ring and counts, ordered by instance", async () => {
    const namespace = stage.start();
    await live(namespace);
    namespace.put("web", "2");
    namespace.put("web", "1", { status: "down", cause: "heartbeat" });
    await live(namespace);
    const head = await stage.stored.head();
    expect(head).toMatchObject({ services: 1, instances: 2 });
    expect(head?.ring.entries).toEqual([[head?.revision, "web", "added"]]);
    expect(await stage.stored.snapshot("web")).toMatchObject({
      epoch: head?.epoch,
      revision: head?.revision,
      instances: [{ id: "1", status: "down", cause: "heartbeat" }, { id: "2" }],
    });
  });

  it("ends a service with its last instance by a tombstone, and brings it back when it registers again", async () => {
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    namespace.remove("web", "1");
    await live(namespace);
    expect(await stage.stored.snapshot("web")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
    expect((await stage.stored.head())?.ring.entries).toEqual([[expect.any(Number), "web", "removed"]]);
    namespace.put("web", "1");
    await live(namespace);
    expect((await stage.stored.snapshot("web"))?.instances).toHaveLength(1);
    expect((await stage.stored.snapshot("web"))?.tombstoneUntil).toBeUndefined();
    expect(await stage.redis.cli("PTTL", serviceKey("default", "web"))).toBe("-1");
    expect((await stage.stored.head())?.ring.entries).toEqual([[expect.any(Number), "web", "added"]]);
  });

  it("makes one commit of changes that come together, and none of a registration put again as it was", async () => {
    const results: [PublishResult, number][] = [];
    const lags: number[] = [];
    const namespace = stage.start(stage.store, {
      onPublish: (result, services) => results.push([result, services]),
      onPublishLag: (seconds) => lags.push(seconds),
    });
    await live(namespace);
    results.length = 0;
    for (let index = 0; index < 50; index++) namespace.put(`s${index % 10}`, String(index));
    await live(namespace);
    for (let index = 0; index < 50; index++) namespace.put(`s${index % 10}`, String(index));
    await live(namespace);
    expect(results).toEqual([["committed", 10]]);
    expect(lags).toHaveLength(1);
    expect(lags[0]).toBeGreaterThanOrEqual(0.02);
    expect(lags[0]).toBeLessThan(2);
  });

  it("goes on with a commit whose answer was lost, as the success it was", async () => {
    let lose = false;
    const losing: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        const result = await stage.store.evaluate(script, keys, args);
        if (!lose) return result;
        lose = false;
        throw new Error("the answer was lost");
      },
    };
    const namespace = startNamespace(losing);
    stage.started.push(namespace);
    await live(namespace);
    const { epoch } = namespace.publisher.status();
    lose = true;
    namespace.put("web", "1");
    await until("the change is there", async () => (await stage.stored.head())?.services === 1);
    namespace.put("web", "2");
    await live(namespace);
    expect(await stage.stored.head()).toMatchObject({ epoch, services: 1, instances: 2 });
  });

  it("commits the head alone for a heartbeat, with what it was told of the watch", async () => {
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    const before = await stage.stored.head();
    const snapshot = await stage.redis.cli("GET", serviceKey("default", "web"));
    const confirmedAt = Date.now() + 1000;
    namespace.publisher.beat(confirmedAt);
    await live(namespace);
    const after = await stage.stored.head();
    expect(after).toMatchObject({ confirmedAt, revision: before?.revision, ring: before?.ring });
    expect(after?.heartbeatAt).toBeGreaterThan(before?.heartbeatAt ?? Infinity);
    expect(await stage.redis.cli("GET", serviceKey("default", "web"))).toBe(snapshot);
  });

  it("writes the names and counts again once they are behind for long enough", async () => {
    let aheadMs = 0;
    const clock = { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs };
    const namespace = stage.start(stage.store, { clock });
    await live(namespace);
    namespace.put("web", "1");
    await live(namespace);
    expect((await stage.stored.catalog())?.services.size).toBe(0);
    aheadMs = CATALOG_INTERVAL_MS;
    namespace.publisher.beat(1);
    await live(namespace);
    const head = await stage.stored.head();
    expect(await stage.stored.catalog()).toMatchObject({ revision: head?.revision, services: new Map([["web", 1]]) });
    expect(head?.catalogRevision).toBe(head?.revision);
  });

  it("claims a new epoch and writes everything again when told to", async () => {
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    const { epoch, revision } = namespace.publisher.status();
    namespace.publisher.reclaim();
    await until("the epoch is a new one", async () => ((await stage.stored.snapshot("web"))?.epoch ?? 0) > epoch);
    await live(namespace);
    expect((await stage.stored.head())?.revision).toBeGreaterThan(revision);
  });
});

describe("a fault of Redis", () => {
  it("that lost everything is noticed by the next heartbeat, and everything is there again", async () => {
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    // More commits than etcd has revisions: the stored revision is all that tells how far readers may be.
    for (let index = 0; index < 5; index++) {
      namespace.catalog.apply([], 0);
      namespace.publisher.changed(["web"]);
      await live(namespace);
    }
    const { revision, epoch } = namespace.publisher.status();
    await stage.redis.cli("FLUSHALL");
    namespace.publisher.beat(1);
    await until("the snapshot is there again", () => stage.stored.snapshot("web"));
    await live(namespace);
    const head = await stage.stored.head();
    expect(head).toMatchObject({ complete: true, services: 1 });
    expect(head?.epoch).toBeGreaterThan(epoch);
    expect(head?.revision).toBeGreaterThan(revision);
  });

  it("that went back to older data is noticed, and what it forgot is there again", async () => {
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    const old = await stage.redis.cli("GET", headKey("default"));
    const oldSnapshot = await stage.redis.cli("GET", serviceKey("default", "web"));
    namespace.put("web", "2");
    await live(namespace);
    const { revision } = namespace.publisher.status();
    await stage.redis.cli("SET", headKey("default"), old);
    await stage.redis.cli("SET", serviceKey("default", "web"), oldSnapshot);
    namespace.publisher.beat(1);
    await until("both are there again", async () => (await stage.stored.snapshot("web"))?.instances.length === 2);
    await live(namespace);
    expect((await stage.stored.head())?.revision).toBeGreaterThan(revision);
  });

  it("that was killed and comes back empty is filled again, with what changed meanwhile", async () => {
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    await stage.redis.kill();
    namespace.put("web", "2");
    namespace.put("api", "1");
    await until("the fault is told", () => namespace.publisher.status().lastError);
    await stage.redis.start();
    await until("both services are there", async () => {
      return (
        (await stage.stored.snapshot("web"))?.instances.length === 2 &&
        (await stage.stored.snapshot("api")) !== undefined
      );
    });
    await live(namespace);
    expect(namespace.publisher.status().lastError).toBeUndefined();
    expect(await stage.stored.head()).toMatchObject({ complete: true, services: 2, instances: 3 });
  });
});

describe("two publishers of one namespace", () => {
  it("never overwrite each other: what the former leader still commits is refused, and it stops", async () => {
    let leads = true;
    const former = stage.start(stage.store, { verify: () => Promise.resolve(leads), revision: 1 });
    former.put("web", "1");
    await live(former);
    leads = false;
    const next = stage.start(stage.store, { revision: 2 });
    next.put("web", "1");
    next.put("web", "2");
    await live(next);
    const head = await stage.redis.cli("GET", headKey("default"));
    former.put("web", "late");
    expect(await former.ended()).toBe("deposed");
    expect(await stage.redis.cli("GET", headKey("default"))).toBe(head);
    expect((await stage.stored.snapshot("web"))?.instances.map(({ id }) => id)).toEqual(["1", "2"]);
  });

  it("leave the field to the one that leads, though the former cannot ask etcd who does", async () => {
    let reachable = true;
    const verify = () => (reachable ? Promise.resolve(true) : Promise.reject(new Error("etcd is out of reach")));
    const former = stage.start(stage.store, { verify, revision: 1 });
    await live(former);
    reachable = false;
    const next = stage.start(stage.store, { revision: 2 });
    next.put("web", "1");
    await live(next);
    former.put("web", "late");
    await until("the former has tried", () => former.publisher.status().lastError?.includes("out of reach"));
    next.put("web", "2");
    await live(next);
    expect((await stage.stored.snapshot("web"))?.instances.map(({ id }) => id)).toEqual(["1", "2"]);
  });
});
