import { describe, expect, it } from "vitest";
import { encodeHead } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { COMMIT_SCRIPT } from "../../registrar/publisher/commit-script.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { until } from "../support/until.ts";
import { startNamespace } from "./fixture.ts";
import { live, release, setStage } from "./stage.ts";

const stage = setStage();

describe("a claim", () => {
  it("over nothing ends in a complete head, though there is no service", async () => {
    await live(stage.start());
    expect(await stage.stored.head()).toMatchObject({
      complete: true,
      services: 0,
      instances: 0,
      identity: "identity-a",
    });
    expect(await stage.stored.catalog()).toMatchObject({ services: new Map() });
  });

  it("over nothing says that it is not complete until everything is there", async () => {
    const heads: boolean[] = [];
    const watching: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        const result = await stage.store.evaluate(script, keys, args);
        if (script === COMMIT_SCRIPT) heads.push((await stage.stored.head())?.complete ?? false);
        return result;
      },
    };
    const namespace = startNamespace(watching);
    stage.started.push(namespace);
    for (let index = 0; index < 450; index++) namespace.put(`s${index}`, "1");
    await live(namespace);
    expect(heads.length).toBeGreaterThan(3);
    expect(heads.slice(0, 3)).toEqual([false, false, false]);
    expect(await stage.stored.head()).toMatchObject({ complete: true, services: 450, instances: 450 });
    expect((await stage.stored.catalog())?.services.size).toBe(450);
    expect((await stage.stored.snapshot("s449"))?.instances).toHaveLength(1);
  });

  it("carries over what readers know, under a later epoch, and a revision that goes on", async () => {
    const first = stage.start();
    first.put("web", "1");
    await live(first);
    await first.stop();
    const before = await stage.stored.head();

    // Of an etcd whose revision is far behind what was published.
    const second = stage.start(stage.store, { revision: 2 });
    second.put("web", "1");
    await live(second);
    const after = await stage.stored.head();
    expect(after?.epoch).toBeGreaterThan(before?.epoch ?? Infinity);
    expect(after?.revision).toBeGreaterThan(before?.revision ?? Infinity);
    expect(after).toMatchObject({ ring: { floor: after?.revision, entries: [] }, catalogRevision: after?.revision });
    expect(await stage.stored.snapshot("web")).toMatchObject({ epoch: after?.epoch, revision: after?.revision });
  });

  it("has an epoch above the stored one, though Redis' clock is behind it", async () => {
    const first = stage.start();
    await live(first);
    await first.stop();
    const head = await stage.stored.head();
    const far = Date.now() + 86_400_000;
    await stage.redis.cli("SET", headKey("default"), encodeHead({ ...head!, epoch: far }));
    await live(stage.start());
    expect((await stage.stored.head())?.epoch).toBe(far + 1);
  });

  it("serves on what etcd has no more, whether the catalog or only the ring tells of it, and ends it when released", async () => {
    const first = stage.start();
    first.put("in-the-catalog", "1");
    await live(first);
    first.put("in-the-ring", "1");
    await live(first);
    expect((await stage.stored.catalog())?.services.has("in-the-ring")).toBe(false);
    await first.stop();

    const second = stage.start();
    await live(second);
    for (const service of ["in-the-catalog", "in-the-ring"]) {
      expect((await stage.stored.snapshot(service))?.instances).toMatchObject([{ id: "1", status: "suspect" }]);
    }
    await release(second);
    for (const service of ["in-the-catalog", "in-the-ring"]) {
      const snapshot = await stage.stored.snapshot(service);
      expect(snapshot).toMatchObject({ instances: [] });
      expect(snapshot?.tombstoneUntil).toBeGreaterThan(Date.now());
      expect(Number(await stage.redis.cli("PTTL", serviceKey("default", service)))).toBeGreaterThan(120_000);
    }
    expect(await stage.stored.head()).toMatchObject({ services: 0, instances: 0 });
  });

  it.each<[string, (head: string) => string]>([
    ["a revision nobody could count on from", (head) => head.replace(/"revision":\d+/, `"revision":${2 ** 53 - 1}`)],
    ["an epoch no publisher claims", (head) => head.replace(/"epoch":\d+/, `"epoch":${Date.now() + 10 * 86_400_000}`)],
    ["a life that has not begun", (head) => head.replace(/"lifeEpoch":\d+/, `"lifeEpoch":${2 ** 52}`)],
    ["a schema that no build has", (head) => head.replace('"schema":1', '"schema":1e999')],
    [
      "more changes than a ring holds",
      (head) => head.replace('"entries":[', `"entries":[${'[1,"x","added"],'.repeat(2000)}[1,"y","added"]`),
    ],
  ])("replaces a head with %s by one that readers can use", async (_, poison) => {
    const first = stage.start();
    first.put("web", "1");
    await live(first);
    await stage.redis.cli("SET", headKey("default"), poison((await stage.redis.cli("GET", headKey("default"))).trim()));
    first.publisher.beat(Date.now());
    const head = await until("the head is a publisher's again", async () => {
      const read = await stage.stored.head().catch(() => undefined);
      const isOurs =
        read?.complete && read.epoch < Date.now() + 86_400_000 && (read.lifeEpoch ?? Infinity) <= read.epoch;
      // One that was believed, but for this, is complete before all is written in the new epoch.
      return isOurs && (await stage.stored.snapshot("web"))?.epoch === read.epoch && read;
    });
    expect(head.revision).toBeLessThan(2 ** 40);
    expect(await stage.stored.snapshot("web")).toMatchObject({ epoch: head.epoch, instances: [{ id: "1" }] });
    expect(await stage.stored.snapshot("x")).toBeUndefined();
  });

  it("replaces whatever else stands under the keys of head and catalog", async () => {
    const first = stage.start();
    first.put("web", "1");
    await live(first);
    for (const key of [headKey("default"), catalogKey("default")]) {
      await stage.redis.cli("DEL", key);
      await stage.redis.cli("RPUSH", key, "no document");
    }
    first.publisher.beat(Date.now());
    await until("the head is there again", async () => (await stage.stored.head())?.complete);
    expect((await stage.stored.catalog())?.services).toEqual(new Map([["web", 1]]));
  });

  it("forgets a confirmation from the future, which nobody would see advance", async () => {
    const first = stage.start();
    first.publisher.beat(Date.now() + 3_600_000);
    await live(first);
    await until("it is stored", async () => ((await stage.stored.head())?.confirmedAt ?? 0) > Date.now() + 3_000_000);
    await first.stop();

    const second = stage.start();
    await live(second);
    expect((await stage.stored.head())?.confirmedAt).toBeLessThanOrEqual(Date.now());
  });

  it("ends what a publisher that died amid its fill has left behind", async () => {
    let commits = 0;
    const dying: SnapshotStore = {
      ...stage.store,
      evaluate(script, keys, args) {
        if (script === COMMIT_SCRIPT && ++commits > 3) return Promise.reject(new Error("died"));
        return stage.store.evaluate(script, keys, args);
      },
    };
    const first = startNamespace(dying);
    stage.started.push(first);
    for (let index = 0; index < 450; index++) first.put(`s${index}`, "1");
    await until("the first snapshots are written", () => commits > 3);
    await first.stop();
    expect(await stage.stored.snapshot("s0")).toMatchObject({ instances: [{ id: "1" }] });
    expect(await stage.stored.head()).toMatchObject({ complete: false });

    const second = stage.start();
    await live(second);
    expect((await stage.stored.snapshot("s0"))?.instances).toMatchObject([{ id: "1", status: "suspect" }]);
    await release(second);
    expect(await stage.stored.snapshot("s0")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
  });

  it("is refused while the publisher of another etcd is alive, and writes nothing then", async () => {
    await live(stage.start());
    const before = await stage.redis.cli("GET", headKey("default"));
    const other = stage.start(stage.store, { identity: "identity-b" });
    await until("the claim is refused", () => other.publisher.status().state === "refused");
    expect(other.publisher.status().lastError).toContain("another etcd");
    expect(await stage.redis.cli("GET", headKey("default"))).toBe(before);
  });

  it("takes over from another etcd when told to adopt, or when its publisher has been silent", async () => {
    const first = stage.start();
    first.put("theirs", "1");
    await live(first);
    await first.stop();
    const adopting = stage.start(stage.store, { identity: "identity-b", adopt: true });
    await live(adopting);
    // Those that move from one etcd to the other have yet to register there.
    expect(await stage.stored.head()).toMatchObject({ identity: "identity-b", services: 1 });
    expect((await stage.stored.snapshot("theirs"))?.instances).toMatchObject([{ id: "1", status: "suspect" }]);
    await release(adopting);
    expect(await stage.stored.head()).toMatchObject({ identity: "identity-b", services: 0 });
    expect(await stage.stored.snapshot("theirs")).toMatchObject({ instances: [] });
    await stage.started.at(-1)?.stop();

    const head = await stage.stored.head();
    await stage.redis.cli("SET", headKey("default"), encodeHead({ ...head!, heartbeatAt: Date.now() - 31_000 }));
    await live(stage.start(stage.store, { identity: "identity-c" }));
    expect(await stage.stored.head()).toMatchObject({ identity: "identity-c" });
  });

  it("is refused over a newer schema, and writes nothing", async () => {
    const text = JSON.stringify({ schema: 2, kind: "head", anything: true });
    await stage.redis.cli("SET", headKey("default"), text);
    const namespace = stage.start();
    await until("the claim is refused", () => namespace.publisher.status().state === "refused");
    expect(namespace.publisher.status().lastError).toContain("schema 2");
    expect(await stage.redis.cli("GET", headKey("default"))).toBe(text);
  });

  it("is made over garbage", async () => {
    await stage.redis.cli("SET", headKey("default"), "garbage");
    await stage.redis.cli("SET", catalogKey("default"), "{}");
    const namespace = stage.start();
    namespace.put("web", "1");
    await live(namespace);
    expect(await stage.stored.head()).toMatchObject({ complete: true, services: 1 });
  });

  it("is not made by a process that does not lead", async () => {
    const namespace = stage.start(stage.store, { verify: () => Promise.resolve(false) });
    expect(await namespace.ended()).toBe("deposed");
    expect(await stage.stored.head()).toBeUndefined();
  });
});
