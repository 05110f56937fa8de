import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { encodeHead } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { COMMIT_SCRIPT } from "../../registrar/publisher/commit-script.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import { CATALOG_INTERVAL_MS, type PublishResult } from "../../registrar/publisher/namespace-publisher.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts, startNamespace, storedIn, type Stored, type TestNamespace } from "./fixture.ts";

let redis: TestRedis;
let store: SnapshotStore;
let stored: Stored;
const started: TestNamespace[] = [];

beforeAll(async () => {
  redis = await startTestRedis();
  store = createDirectStore({ url: redis.url, ...parts });
  stored = storedIn(store);
});

beforeEach(async () => {
  await redis.cli("FLUSHALL");
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((namespace) => namespace.stop()));
});

afterAll(async () => {
  await store.close();
  await redis.close();
});

function start(...args: Parameters<typeof startNamespace> | []): TestNamespace {
  const namespace = args.length === 0 ? startNamespace(store) : startNamespace(...args);
  started.push(namespace);
  return namespace;
}

async function live(namespace: TestNamespace): Promise<void> {
  await until("the namespace is live", () => namespace.publisher.status().state === "live");
  await namespace.publisher.flushed();
}

describe("a claim", () => {
  it("over nothing ends in a complete head, though there is no service", async () => {
    await live(start());
    expect(await stored.head()).toMatchObject({ complete: true, services: 0, instances: 0, identity: "identity-a" });
    expect(await stored.catalog()).toMatchObject({ services: new Map() });
  });

  it("over nothing says that it is not complete until everything is there", async () => {
    const heads: boolean[] = [];
    const watching: SnapshotStore = {
      ...store,
      async evaluate(script, keys, args) {
        const result = await store.evaluate(script, keys, args);
        if (script === COMMIT_SCRIPT) heads.push((await stored.head())?.complete ?? false);
        return result;
      },
    };
    const namespace = startNamespace(watching);
    started.push(namespace);
    for (let index = 0; index < 450; index++) namespace.put(`s${index}`, "1");
    await live(namespace);
    expect(heads.length).toBeGreaterThan(3);
    expect(heads.slice(0, 3)).toEqual([false, false, false]);
    expect(await stored.head()).toMatchObject({ complete: true, services: 450, instances: 450 });
    expect((await stored.catalog())?.services.size).toBe(450);
    expect((await stored.snapshot("s449"))?.instances).toHaveLength(1);
  });

  it("carries over what readers know, under a later epoch, and a revision that goes on", async () => {
    const first = start();
    first.put("web", "1");
    await live(first);
    await first.stop();
    const before = await stored.head();

    // Of an etcd whose revision is far behind what was published.
    const second = start(store, { revision: 2 });
    second.put("web", "1");
    await live(second);
    const after = await stored.head();
    expect(after?.epoch).toBeGreaterThan(before?.epoch ?? Infinity);
    expect(after?.revision).toBeGreaterThan(before?.revision ?? Infinity);
    expect(after).toMatchObject({ ring: { floor: after?.revision, entries: [] }, catalogRevision: after?.revision });
    expect(await stored.snapshot("web")).toMatchObject({ epoch: after?.epoch, revision: after?.revision });
  });

  it("has an epoch above the stored one, though Redis' clock is behind it", async () => {
    const first = start();
    await live(first);
    await first.stop();
    const head = await stored.head();
    const far = Date.now() + 86_400_000;
    await redis.cli("SET", headKey("default"), encodeHead({ ...head!, epoch: far }));
    await live(start());
    expect((await stored.head())?.epoch).toBe(far + 1);
  });

  it("ends the services that etcd has no more, whether the catalog or only the ring tells of them", async () => {
    const first = start();
    first.put("in-the-catalog", "1");
    await live(first);
    first.put("in-the-ring", "1");
    await live(first);
    expect((await stored.catalog())?.services.has("in-the-ring")).toBe(false);
    await first.stop();

    await live(start());
    for (const service of ["in-the-catalog", "in-the-ring"]) {
      const snapshot = await stored.snapshot(service);
      expect(snapshot).toMatchObject({ instances: [] });
      expect(snapshot?.tombstoneUntil).toBeGreaterThan(Date.now());
      expect(Number(await redis.cli("PTTL", serviceKey("default", service)))).toBeGreaterThan(120_000);
    }
    expect((await stored.catalog())?.services.size).toBe(0);
  });

  it.each<[string, (head: string) => string]>([
    ["a revision nobody could count on from", (head) => head.replace(/"revision":\d+/, `"revision":${2 ** 53 - 1}`)],
    ["an epoch no publisher claims", (head) => head.replace(/"epoch":\d+/, `"epoch":${Date.now() + 10 * 86_400_000}`)],
    [
      "more changes than a ring holds",
      (head) => head.replace('"entries":[', `"entries":[${'[1,"x","added"],'.repeat(2000)}[1,"y","added"]`),
    ],
  ])("replaces a head with %s by one that readers can use", async (_, poison) => {
    const first = start();
    first.put("web", "1");
    await live(first);
    await redis.cli("SET", headKey("default"), poison((await redis.cli("GET", headKey("default"))).trim()));
    first.publisher.beat(Date.now());
    const head = await until("the head is a publisher's again", async () => {
      const read = await stored.head().catch(() => undefined);
      return read?.complete && read.epoch < Date.now() + 86_400_000 && read;
    });
    expect(head.revision).toBeLessThan(2 ** 40);
    expect(await stored.snapshot("web")).toMatchObject({ epoch: head.epoch, instances: [{ id: "1" }] });
    expect(await stored.snapshot("x")).toBeUndefined();
  });

  it("replaces whatever else stands under the keys of head and catalog", async () => {
    const first = start();
    first.put("web", "1");
    await live(first);
    for (const key of [headKey("default"), catalogKey("default")]) {
      await redis.cli("DEL", key);
      await redis.cli("RPUSH", key, "no document");
    }
    first.publisher.beat(Date.now());
    await until("the head is there again", async () => (await stored.head())?.complete);
    expect((await stored.catalog())?.services).toEqual(new Map([["web", 1]]));
  });

  it("forgets a confirmation from the future, which nobody would see advance", async () => {
    const first = start();
    first.publisher.beat(Date.now() + 3_600_000);
    await live(first);
    await until("it is stored", async () => ((await stored.head())?.confirmedAt ?? 0) > Date.now() + 3_000_000);
    await first.stop();

    const second = start();
    await live(second);
    expect((await stored.head())?.confirmedAt).toBeLessThanOrEqual(Date.now());
  });

  it("ends what a publisher that died amid its fill has left behind", async () => {
    let commits = 0;
    const dying: SnapshotStore = {
      ...store,
      evaluate(script, keys, args) {
        if (script === COMMIT_SCRIPT && ++commits > 2) return Promise.reject(new Error("died"));
        return store.evaluate(script, keys, args);
      },
    };
    const first = startNamespace(dying);
    started.push(first);
    for (let index = 0; index < 450; index++) first.put(`s${index}`, "1");
    await until("the first chunk is written", () => commits > 2);
    await first.stop();
    expect(await stored.snapshot("s0")).toMatchObject({ instances: [{ id: "1" }] });
    expect(await stored.head()).toMatchObject({ complete: false });

    await live(start());
    expect(await stored.snapshot("s0")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
  });

  it("is refused while the publisher of another etcd is alive, and writes nothing then", async () => {
    await live(start());
    const before = await redis.cli("GET", headKey("default"));
    const other = start(store, { identity: "identity-b" });
    await until("the claim is refused", () => other.publisher.status().state === "refused");
    expect(other.publisher.status().lastError).toContain("another etcd");
    expect(await redis.cli("GET", headKey("default"))).toBe(before);
  });

  it("takes over from another etcd when told to adopt, or when its publisher has been silent", async () => {
    const first = start();
    first.put("theirs", "1");
    await live(first);
    await first.stop();
    await live(start(store, { identity: "identity-b", adopt: true }));
    expect(await stored.head()).toMatchObject({ identity: "identity-b", services: 0 });
    expect(await stored.snapshot("theirs")).toMatchObject({ instances: [] });
    await started.at(-1)?.stop();

    const head = await stored.head();
    await redis.cli("SET", headKey("default"), encodeHead({ ...head!, heartbeatAt: Date.now() - 31_000 }));
    await live(start(store, { identity: "identity-c" }));
    expect(await stored.head()).toMatchObject({ identity: "identity-c" });
  });

  it("is refused over a newer schema, and writes nothing", async () => {
    const text = JSON.stringify({ schema: 2, kind: "head", anything: true });
    await redis.cli("SET", headKey("default"), text);
    const namespace = start();
    await until("the claim is refused", () => namespace.publisher.status().state === "refused");
    expect(namespace.publisher.status().lastError).toContain("schema 2");
    expect(await redis.cli("GET", headKey("default"))).toBe(text);
  });

  it("is made over garbage", async () => {
    await redis.cli("SET", headKey("default"), "garbage");
    await redis.cli("SET", catalogKey("default"), "{}");
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    expect(await stored.head()).toMatchObject({ complete: true, services: 1 });
  });

  it("is not made by a process that does not lead", async () => {
    const namespace = start(store, { verify: () => Promise.resolve(false) });
    expect(await namespace.ended()).toBe("deposed");
    expect(await stored.head()).toBeUndefined();
  });
});

describe("publishing", () => {
  it("commits a change: snapshot, ring and counts, ordered by instance", async () => {
    const namespace = start();
    await live(namespace);
    namespace.put("web", "2");
    namespace.put("web", "1", { status: "down", cause: "heartbeat" });
    await live(namespace);
    const head = await stored.head();
    expect(head).toMatchObject({ services: 1, instances: 2 });
    expect(head?.ring.entries).toEqual([[head?.revision, "web", "added"]]);
    expect(await stored.snapshot("web")).toMatchObject({
      epoch: head?.epoch,
      revision: head?.revision,
      instances: [{ id: "1", status: "down", cause: "heartbeat" }, { id: "2" }],
    });
  });

  it("ends a service with its last instance by a tombstone, and brings it back when it registers again", async () => {
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    namespace.remove("web", "1");
    await live(namespace);
    expect(await stored.snapshot("web")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
    expect((await stored.head())?.ring.entries).toEqual([[expect.any(Number), "web", "removed"]]);
    namespace.put("web", "1");
    await live(namespace);
    expect((await stored.snapshot("web"))?.instances).toHaveLength(1);
    expect((await stored.snapshot("web"))?.tombstoneUntil).toBeUndefined();
    expect(await redis.cli("PTTL", serviceKey("default", "web"))).toBe("-1");
    expect((await stored.head())?.ring.entries).toEqual([[expect.any(Number), "web", "added"]]);
  });

  it("makes one commit of changes that come together, and none of a registration put again as it was", async () => {
    const results: [PublishResult, number][] = [];
    const lags: number[] = [];
    const namespace = start(store, {
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
      ...store,
      async evaluate(script, keys, args) {
        const result = await store.evaluate(script, keys, args);
        if (!lose) return result;
        lose = false;
        throw new Error("the answer was lost");
      },
    };
    const namespace = startNamespace(losing);
    started.push(namespace);
    await live(namespace);
    const { epoch } = namespace.publisher.status();
    lose = true;
    namespace.put("web", "1");
    await until("the change is there", async () => (await stored.head())?.services === 1);
    namespace.put("web", "2");
    await live(namespace);
    expect(await stored.head()).toMatchObject({ epoch, services: 1, instances: 2 });
  });

  it("commits the head alone for a heartbeat, with what it was told of the watch", async () => {
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    const before = await stored.head();
    const snapshot = await redis.cli("GET", serviceKey("default", "web"));
    const confirmedAt = Date.now() + 1000;
    namespace.publisher.beat(confirmedAt);
    await live(namespace);
    const after = await stored.head();
    expect(after).toMatchObject({ confirmedAt, revision: before?.revision, ring: before?.ring });
    expect(after?.heartbeatAt).toBeGreaterThan(before?.heartbeatAt ?? Infinity);
    expect(await redis.cli("GET", serviceKey("default", "web"))).toBe(snapshot);
  });

  it("writes the names and counts again once they are behind for long enough", async () => {
    let aheadMs = 0;
    const clock = { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs };
    const namespace = start(store, { clock });
    await live(namespace);
    namespace.put("web", "1");
    await live(namespace);
    expect((await stored.catalog())?.services.size).toBe(0);
    aheadMs = CATALOG_INTERVAL_MS;
    namespace.publisher.beat(1);
    await live(namespace);
    const head = await stored.head();
    expect(await stored.catalog()).toMatchObject({ revision: head?.revision, services: new Map([["web", 1]]) });
    expect(head?.catalogRevision).toBe(head?.revision);
  });

  it("claims a new epoch and writes everything again when told to", async () => {
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    const { epoch, revision } = namespace.publisher.status();
    namespace.publisher.reclaim();
    await until("the epoch is a new one", async () => ((await stored.snapshot("web"))?.epoch ?? 0) > epoch);
    await live(namespace);
    expect((await stored.head())?.revision).toBeGreaterThan(revision);
  });
});

describe("a fault of Redis", () => {
  it("that lost everything is noticed by the next heartbeat, and everything is there again", async () => {
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    // More commits than etcd has revisions: the stored revision is all that tells how far readers may be.
    for (let index = 0; index < 5; index++) {
      namespace.catalog.apply([], 0);
      namespace.publisher.changed(["web"]);
      await live(namespace);
    }
    const { revision, epoch } = namespace.publisher.status();
    await redis.cli("FLUSHALL");
    namespace.publisher.beat(1);
    await until("the snapshot is there again", () => stored.snapshot("web"));
    await live(namespace);
    const head = await stored.head();
    expect(head).toMatchObject({ complete: true, services: 1 });
    expect(head?.epoch).toBeGreaterThan(epoch);
    expect(head?.revision).toBeGreaterThan(revision);
  });

  it("that went back to older data is noticed, and what it forgot is there again", async () => {
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    const old = await redis.cli("GET", headKey("default"));
    const oldSnapshot = await redis.cli("GET", serviceKey("default", "web"));
    namespace.put("web", "2");
    await live(namespace);
    const { revision } = namespace.publisher.status();
    await redis.cli("SET", headKey("default"), old);
    await redis.cli("SET", serviceKey("default", "web"), oldSnapshot);
    namespace.publisher.beat(1);
    await until("both are there again", async () => (await stored.snapshot("web"))?.instances.length === 2);
    await live(namespace);
    expect((await stored.head())?.revision).toBeGreaterThan(revision);
  });

  it("that was killed and comes back empty is filled again, with what changed meanwhile", async () => {
    const namespace = start();
    namespace.put("web", "1");
    await live(namespace);
    await redis.kill();
    namespace.put("web", "2");
    namespace.put("api", "1");
    await until("the fault is told", () => namespace.publisher.status().lastError);
    await redis.start();
    await until("both services are there", async () => {
      return (await stored.snapshot("web"))?.instances.length === 2 && (await stored.snapshot("api")) !== undefined;
    });
    await live(namespace);
    expect(namespace.publisher.status().lastError).toBeUndefined();
    expect(await stored.head()).toMatchObject({ complete: true, services: 2, instances: 3 });
  });
});

describe("two publishers of one namespace", () => {
  it("never overwrite each other: what the former leader still commits is refused, and it stops", async () => {
    let leads = true;
    const former = start(store, { verify: () => Promise.resolve(leads), revision: 1 });
    former.put("web", "1");
    await live(former);
    leads = false;
    const next = start(store, { revision: 2 });
    next.put("web", "1");
    next.put("web", "2");
    await live(next);
    const head = await redis.cli("GET", headKey("default"));
    former.put("web", "late");
    expect(await former.ended()).toBe("deposed");
    expect(await redis.cli("GET", headKey("default"))).toBe(head);
    expect((await stored.snapshot("web"))?.instances.map(({ id }) => id)).toEqual(["1", "2"]);
  });

  it("leave the field to the one that leads, though the former cannot ask etcd who does", async () => {
    let reachable = true;
    const verify = () => (reachable ? Promise.resolve(true) : Promise.reject(new Error("etcd is out of reach")));
    const former = start(store, { verify, revision: 1 });
    await live(former);
    reachable = false;
    const next = start(store, { revision: 2 });
    next.put("web", "1");
    await live(next);
    former.put("web", "late");
    await until("the former has tried", () => former.publisher.status().lastError?.includes("out of reach"));
    next.put("web", "2");
    await live(next);
    expect((await stored.snapshot("web"))?.instances.map(({ id }) => id)).toEqual(["1", "2"]);
  });
});
