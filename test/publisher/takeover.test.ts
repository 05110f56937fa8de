import { describe, expect, it } from "vitest";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { systemClock } from "../../kernel/clock.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { until } from "../support/until.ts";
import type { TestNamespace } from "./fixture.ts";
import { live, release, setStage } from "./stage.ts";

const stage = setStage();
const { statusesOf, holdsOf } = stage;

/** Another publisher that has followed all along; `tell` is told to both. */
function withStandby() {
  const leader = stage.start();
  const standby = stage.start(stage.store, { standby: true, revision: 2 });
  const tell = (what: (to: TestNamespace) => void) => [leader, standby].forEach(what);
  return { leader, standby, tell };
}

describe("the end of a lease", () => {
  it("empties no service: its instances are served on as suspect until they register again", async () => {
    const namespace = stage.start();
    for (const id of ["1", "2", "3"]) namespace.put("web", id, {}, "lease-1");
    await live(namespace);
    namespace.expire("lease-1");
    await live(namespace);
    expect(await statusesOf("web")).toEqual({ 1: "suspect", 2: "suspect", 3: "suspect" });
    expect(await stage.stored.head()).toMatchObject({ services: 1, instances: 3 });
    expect(namespace.publisher.status().held).toBe(3);

    for (const id of ["1", "2", "3"]) namespace.put("web", id, {}, "lease-2");
    await live(namespace);
    expect(await statusesOf("web")).toEqual({ 1: "up", 2: "up", 3: "up" });
    expect(await holdsOf("web")).toBeUndefined();
  });

  it("that leaves enough others is published at once", async () => {
    const namespace = stage.start();
    for (const id of ["1", "2", "3"]) namespace.put("web", id, {}, "lease-1");
    namespace.put("web", "4", {}, "lease-2");
    await live(namespace);
    namespace.expire("lease-2");
    await live(namespace);
    expect(await statusesOf("web")).toEqual({ 1: "up", 2: "up", 3: "up" });
  });

  it("does not keep the same instances from being deregistered on purpose, before or after", async () => {
    const namespace = stage.start();
    namespace.put("web", "1", {}, "lease-1");
    namespace.put("api", "1", {}, "lease-2");
    await live(namespace);
    namespace.expire("lease-1");
    namespace.remove("api", "1");
    await live(namespace);
    expect(await statusesOf("api")).toEqual({});
    namespace.put("web", "1", {}, "lease-3");
    namespace.remove("web", "1");
    await live(namespace);
    expect(await statusesOf("web")).toEqual({});
  });
});

describe("a change of leader", () => {
  it("keeps what is held, with its deadline and the agent it was of", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    await live(leader);
    tell((to) => to.expire("lease-1"));
    await live(leader);
    const before = await holdsOf("web");
    expect(before).toEqual([
      { id: "1", cause: "lease", since: expect.any(Number), until: expect.any(Number), agent: "agent-a" },
    ]);
    await leader.stop();
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
    expect(await holdsOf("web")).toEqual(before);
    await release(standby);
    expect(await statusesOf("web")).toEqual({});
  });

  it("ends no hold by a clock that is hours ahead, also when its first try to compare fails", async () => {
    const leader = stage.start();
    leader.put("web", "1", {}, "lease-1");
    await live(leader);
    leader.expire("lease-1");
    await live(leader);
    await leader.stop();

    let failures = 0;
    const failing: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        if (script.includes("texts") && failures++ === 0) throw new Error("cut off");
        return stage.store.evaluate(script, keys, args);
      },
    };
    const ahead = { ...systemClock, now: () => systemClock.now() + 3 * 3600 * 1000 };
    const standby = stage.start(failing, { clock: ahead });
    await live(standby);
    expect(failures).toBeGreaterThan(1);
    standby.publisher.beat(ahead.now());
    await live(standby);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
  });

  it("holds what the new leader saw depart unplanned, where Redis was emptied and the last leader lost at once", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    tell((to) => to.put("api", "1", {}, "lease-1"));
    tell((to) => to.put("back", "1", {}, "lease-1"));
    tell((to) => to.put("left", "1", {}, "lease-2"));
    await live(leader);
    tell((to) => to.expire("lease-1"));
    tell((to) => to.remove("left", "1"));
    tell((to) => to.put("back", "1", {}, "lease-3"));
    await live(leader);
    await leader.stop();
    await stage.redis.cli("FLUSHALL");
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
    expect(await holdsOf("web")).toMatchObject([{ cause: "lease", agent: "agent-a" }]);
    expect(await statusesOf("api")).toEqual({ 1: "suspect" });
    expect(await statusesOf("back")).toEqual({ 1: "up" });
    expect(await statusesOf("left")).toEqual({});
    // And the next one can read what that has stored of it.
    await standby.stop();
    await live(stage.start());
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
    expect(await holdsOf("web")).toMatchObject([{ cause: "lease", agent: "agent-a" }]);
  });

  it("holds nothing that the last leader let go, while Redis has what that published", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    await live(leader);
    tell((to) => to.expire("lease-1"));
    await release(leader);
    await leader.stop();
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({});
  });

  it("holds what was lost while nobody led, with its agent where the new leader saw it go", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    await live(leader);
    await leader.stop();
    standby.expire("lease-1");
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
    expect(await holdsOf("web")).toMatchObject([{ cause: "lease", agent: "agent-a" }]);
    await standby.stop();

    // One that starts now knows neither when nor how it went; what is held goes on as it was.
    const fresh = stage.start();
    await live(fresh);
    expect(await holdsOf("web")).toMatchObject([{ cause: "lease", agent: "agent-a" }]);
  });

  it("ends at once what was deregistered on purpose while nobody led, if the new leader saw it", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    await live(leader);
    await leader.stop();
    standby.remove("web", "1");
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({});
  });

  it.each(["head", "catalog"] as const)(
    "leaves no service that ended meanwhile where the %s was lost",
    async (lost) => {
      const { leader, standby, tell } = withStandby();
      tell((to) => to.put("web", "1"));
      tell((to) => to.put("left", "1"));
      await live(leader);
      await leader.stop();
      await stage.redis.cli("DEL", lost === "head" ? headKey("default") : catalogKey("default"));
      standby.remove("left", "1");
      standby.lead();
      await live(standby);
      expect(await statusesOf("web")).toEqual({ 1: "up" });
      expect(await stage.stored.snapshot("left")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
    },
  );

  it("leaves no service that only a lost head named, also when its first try to compare fails", async () => {
    let failures = 0;
    const failing: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        if (script.includes("texts") && failures++ === 0) throw new Error("cut off");
        return stage.store.evaluate(script, keys, args);
      },
    };
    const leader = stage.start();
    const standby = stage.start(failing, { standby: true, revision: 2 });
    for (const each of [leader, standby]) each.put("web", "1");
    await live(leader);
    for (const each of [leader, standby]) each.put("left", "1");
    await live(leader);
    // Names are written at intervals, and only the head's ring has this one yet.
    expect((await stage.stored.catalog())?.services.has("left")).toBe(false);
    await leader.stop();
    await stage.redis.cli("DEL", headKey("default"));
    standby.remove("left", "1");
    standby.lead();
    await live(standby);
    expect(failures).toBeGreaterThan(1);
    expect(await stage.stored.snapshot("left")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
  });

  it("does not take a deregistration before the last registration for the reason why it is missing", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    // The standby alone sees it go, and misses that it comes back, as over a compaction.
    standby.remove("web", "1");
    for (let index = 0; index < 5; index++) leader.put("web", "1", { weight: index });
    await live(leader);
    await leader.stop();
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
  });

  it("judges together what departs while the last leader's snapshots are read, and what they show to be gone", async () => {
    const first = stage.start();
    for (const id of ["1", "2"]) first.put("web", id, {}, "lease-1");
    first.put("api", "1", {}, "lease-2");
    await live(first);
    await first.stop();

    let during: (() => void) | undefined;
    const slow: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        const result = await stage.store.evaluate(script, keys, args);
        if (keys.includes(serviceKey("default", "web")) && script.includes("texts")) {
          during?.();
          during = undefined;
        }
        return result;
      },
    };
    const second = stage.start(slow, { standby: true });
    for (const id of ["1", "2"]) second.put("web", id, {}, "lease-1");
    second.put("api", "1", {}, "lease-2");
    during = () => second.expire("lease-1");
    second.lead();
    await live(second);
    expect(during).toBeUndefined();
    expect(await statusesOf("web")).toEqual({ 1: "suspect", 2: "suspect" });
    expect(await statusesOf("api")).toEqual({ 1: "up" });
    expect(second.publisher.status().held).toBe(2);
  });

  it("lets no emptied Redis forget what is held, as long as its leader lives", async () => {
    const namespace = stage.start();
    namespace.put("web", "1", {}, "lease-1");
    await live(namespace);
    namespace.expire("lease-1");
    await live(namespace);
    await stage.redis.cli("FLUSHALL");
    namespace.publisher.beat(Date.now());
    await live(namespace);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
    expect(await holdsOf("web")).toHaveLength(1);
  });

  it("goes on with snapshots that anyone wrote, and holds only what could have been registered", async () => {
    const first = stage.start();
    first.put("web", "1", {}, "lease-1");
    first.put("api", "1", {}, "lease-1");
    await live(first);
    await first.stop();
    const web = JSON.parse(await stage.redis.cli("GET", serviceKey("default", "web")));
    web.instances.push({ id: "2", status: "up" }, { ...web.instances[0], id: "3" });
    await stage.redis.cli("SET", serviceKey("default", "web"), JSON.stringify(web));
    await stage.redis.cli("SET", serviceKey("default", "api"), "garbage");
    await live(stage.start());
    expect(await statusesOf("web")).toEqual({ 1: "suspect", 3: "suspect" });
    expect(await statusesOf("api")).toEqual({});
  });

  it("does not hold what was draining when it was lost while nobody led, though Redis has it as up", async () => {
    const { leader, standby, tell } = withStandby();
    tell((to) => to.put("web", "1", {}, "lease-1"));
    await live(leader);
    await leader.stop();
    standby.put("web", "1", { status: "draining" }, "lease-1");
    standby.expire("lease-1");
    standby.lead();
    await live(standby);
    expect(await statusesOf("web")).toEqual({});
  });

  it("leaves nothing held by the one that leads no more", async () => {
    const namespace = stage.start();
    namespace.put("web", "1", {}, "lease-1");
    await live(namespace);
    namespace.expire("lease-1");
    expect(namespace.publisher.guard.size()).toBe(1);
    await namespace.stop();
    expect(namespace.publisher.guard.size()).toBe(0);
  });

  it("compares all of it, though it is more than one answer of Redis holds", async () => {
    const padding = { metadata: { padding: "x".repeat(2000) } };
    const first = stage.start();
    const services = Array.from({ length: 5 }, (_, index) => `s${index}`);
    for (const service of services) {
      for (let id = 0; id < 150; id++) first.put(service, String(id), padding, "lease-1");
    }
    await live(first);
    await first.stop();
    const second = stage.start();
    await live(second);
    expect(second.publisher.status().held).toBe(5 * 150);
    for (const service of services)
      expect(new Set(Object.values(await statusesOf(service)))).toEqual(new Set(["suspect"]));
  });

  it("ends a hold also when the instance registers again while the last leader's snapshots are read", async () => {
    const first = stage.start();
    for (const id of ["1", "2"]) first.put("web", id, {}, "lease-1");
    // More than one answer of Redis holds beside another service.
    const padding = { metadata: { padding: "x".repeat(2000) } };
    for (let id = 0; id < 600; id++) first.put("large", String(id), padding, "lease-2");
    await live(first);
    first.expire("lease-1");
    await live(first);
    await first.stop();
    let again: (() => void) | undefined;
    const store: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        // By then web has been compared.
        if (keys.includes(serviceKey("default", "large")) && !keys.includes(serviceKey("default", "web"))) again?.();
        return stage.store.evaluate(script, keys, args);
      },
    };
    const second = stage.start(store, { standby: true });
    again = () => {
      again = undefined;
      second.put("web", "1", {}, "lease-3");
    };
    second.lead();
    await live(second);
    expect(again).toBeUndefined();
    expect(await statusesOf("web")).toEqual({ 1: "up", 2: "suspect" });
    expect(await holdsOf("web")).toHaveLength(1);
  });

  it("is none when Redis goes back to older data: what was let go since is not held again", async () => {
    const namespace = stage.start();
    namespace.put("web", "1", {}, "lease-1");
    await live(namespace);
    namespace.expire("lease-1");
    await live(namespace);
    const keys = [headKey("default"), serviceKey("default", "web")];
    const older = await Promise.all(keys.map((key) => stage.redis.cli("GET", key)));
    await release(namespace);
    for (const [index, key] of keys.entries()) await stage.redis.cli("SET", key, older[index] ?? "");
    namespace.publisher.beat(Date.now());
    await until("it is gone again", async () => Object.keys(await statusesOf("web")).length === 0);
    await live(namespace);
    expect(namespace.publisher.status().held).toBe(0);
  });
});
