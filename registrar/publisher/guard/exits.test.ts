import { restoreCatalog } from "../../../test/support/catalog.ts";
import { describe, expect, it } from "vitest";
import { instanceKey, sentinelKey } from "../../../contract/etcd-keys.ts";
import { decodeSnapshotFound } from "../../../contract/holds.ts";
import { all, HOLD_MS, ids, setUp, TTL_SECONDS } from "../../../test/publisher/guard-world.ts";
import { registration } from "../../../test/support/instance.ts";
import type { HoldFound } from "./guard.ts";
import type { Evidence } from "./hold.ts";
import { ROUNDS_REFUSED, ROUNDS_REFUSED_LAST, ROUNDS_SILENT, TTLS_UNRENEWED } from "./limits.ts";

const CLEAR: Evidence = { refusals: true, silence: true };

describe("a hold ends", () => {
  /** A service of which three are held; with `others`, it has some that are up. */
  function incident(others: boolean) {
    const world = setUp();
    world.register("l1", "web", ids(3));
    if (others) world.register("l2", "web", ["up"], {}, "b");
    world.expire("l1");
    expect(world.guard.size()).toBe(3);
    return world;
  }

  it("when the instance registers again, by event or by a new list, as what it is then", () => {
    const { register, statuses, exits, catalog, guard } = incident(false);
    register("l3", "web", ["1"]);
    register("l3", "web", ["2"], { status: "draining" });
    expect(statuses("web")).toEqual({ 1: "up", 2: "draining", 3: "suspect" });
    const entries = ids(3).map((id) => {
      const key = instanceKey({ namespace: "default", service: "web", instance: id });
      return { key, value: JSON.stringify(registration(id)), lease: "l4", createRevision: 9, modRevision: 9 };
    });
    const changes = restoreCatalog(catalog, entries, 100).get("default");
    guard.settle(changes?.services ?? []);
    guard.observe(changes?.departures ?? []);
    expect(statuses("web")).toEqual(all(ids(3), "up"));
    expect(exits).toEqual(["registered", "registered", "registered"]);
  });

  it("not when it registers again as down: it is served until an exit, and then published as etcd has it", () => {
    const { register, statuses, guard } = incident(false);
    register("l3", "web", ["1"], { status: "down", cause: "heartbeat" });
    expect(statuses("web")).toEqual(all(ids(3), "suspect"));
    guard.release("web");
    expect(statuses("web")).toEqual({ 1: "down" });
  });

  it("at its deadline at the latest, though it is of the last", async () => {
    const { clock, confirm, statuses, exits } = incident(false);
    await clock.advance(HOLD_MS - 1);
    expect(confirm()).toEqual(new Set());
    expect(statuses("web")).toEqual(all(ids(3), "suspect"));
    await clock.advance(1);
    expect(confirm()).toEqual(new Set(["web"]));
    expect(statuses("web")).toEqual({});
    expect(exits).toEqual(["deadline", "deadline", "deadline"]);
  });

  it("when its agent has been back for one TTL without it, as far as the watch is known to have told", async () => {
    const { clock, register, confirm, statuses, guard } = incident(true);
    await clock.advance(20_000);
    register("l3", "web", ["1"]);
    await clock.advance(TTL_SECONDS * 1000 - 1);
    register("l9", "web", [], {}, "b");
    expect(confirm()).toEqual(new Set());
    await clock.advance(1);
    expect(guard.tick(clock.now() - 1)).toEqual(new Set());
    expect(confirm()).toEqual(new Set(["web"]));
    expect(statuses("web")).toEqual({ 1: "up", up: "up" });
  });

  it("with its agent back for two TTLs, where it is of the last", async () => {
    const { clock, register, confirm, statuses } = incident(false);
    register("l3", "other", ["1"]);
    await clock.advance(2 * TTL_SECONDS * 1000 - 1);
    confirm();
    expect(statuses("web")).toEqual(all(ids(3), "suspect"));
    await clock.advance(1);
    confirm();
    expect(statuses("web")).toEqual({});
  });

  it("not by its agent's return where it is of the last and answers: the agent may not have heard of it yet", async () => {
    const { clock, register, confirm, guard, statuses } = incident(false);
    register("l3", "other", ["1"]);
    guard.probed("web", "1", "answered", CLEAR);
    await clock.advance(2 * TTL_SECONDS * 1000);
    confirm();
    expect(statuses("web")).toEqual({ 1: "suspect" });
    await clock.advance(HOLD_MS);
    confirm();
    expect(guard.size()).toBe(0);
  });

  it("not by its agent's return while that still registers: each new lease begins the time anew", async () => {
    const { clock, register, confirm, guard } = incident(true);
    for (let lease = 0; lease < 5; lease++) {
      register(`n${lease}`, "other", [`${lease}`]);
      await clock.advance(TTL_SECONDS * 1000 - 1);
      confirm();
    }
    expect(guard.size()).toBe(3);
  });

  it("by its agent's other leases only once they have outlived what nobody renews", async () => {
    const { clock, register, expire, confirm, guard } = setUp();
    register("other", "other", ["1"]);
    register("l1", "web", ids(3));
    register("l2", "web", ["up"], {}, "b");
    await clock.advance(10 * TTL_SECONDS * 1000);
    expire("l1");
    await clock.advance((TTLS_UNRENEWED + 1) * TTL_SECONDS * 1000 - 1);
    confirm();
    expect(guard.size()).toBe(3);
    await clock.advance(1);
    confirm();
    expect(guard.size()).toBe(0);
  });

  it("no later where its agent, which is back, puts the sentinel again to fence its own late writes", async () => {
    const { clock, register, confirm, guard } = incident(true);
    register("l3", "other", ["1"]);
    await clock.advance(TTL_SECONDS * 1000 - 1);
    register("l3", "other", []);
    await clock.advance(1);
    confirm();
    expect(guard.size()).toBe(0);
  });

  it("not by its agent's presence where that lives and called it down", async () => {
    const { clock, register, confirm, guard } = setUp();
    register("l1", "web", ids(4));
    register("l1", "web", ["1", "2"], { status: "down", cause: "heartbeat" });
    await clock.advance(10 * TTL_SECONDS * 1000);
    confirm();
    expect(guard.size()).toBe(2);
  });

  it("when its host refuses, or stays silent for longer, in rounds in which others answer", () => {
    const { guard, statuses, exits } = incident(true);
    for (let round = 1; round < ROUNDS_REFUSED; round++) guard.probed("web", "1", "refused", CLEAR);
    for (let round = 1; round < ROUNDS_SILENT; round++) guard.probed("web", "2", "silent", CLEAR);
    expect(guard.size()).toBe(3);
    expect(guard.probed("web", "1", "refused", CLEAR)).toEqual(new Set(["web"]));
    guard.probed("web", "2", "silent", CLEAR);
    expect(statuses("web")).toEqual({ 3: "suspect", up: "up" });
    expect(exits).toEqual(["probes", "probes"]);
  });

  it("not by probes in rounds in which nobody else answers, nor when it answered in between", () => {
    const { guard } = incident(true);
    for (let round = 0; round < 20; round++) {
      guard.probed("web", "1", "refused", { refusals: false, silence: false });
      guard.probed("web", "2", "silent", { refusals: true, silence: false });
      guard.probed("web", "3", round % 2 === 0 ? "silent" : "answered", CLEAR);
    }
    expect(guard.size()).toBe(3);
  });

  it("never by silence where it is of the last, only by refusals, one after the other", () => {
    const { guard } = incident(false);
    for (let round = 0; round < 20; round++) guard.probed("web", "1", "silent", CLEAR);
    for (let round = 0; round < 20; round++) guard.probed("web", "2", round % 3 === 0 ? "silent" : "refused", CLEAR);
    for (let round = 1; round < ROUNDS_REFUSED_LAST; round++) guard.probed("web", "3", "refused", CLEAR);
    expect(guard.size()).toBe(3);
    guard.probed("web", "3", "refused", CLEAR);
    expect(guard.size()).toBe(2);
  });

  it("when an operator says so, for one service or for all", () => {
    const { register, expire, guard, exits } = setUp();
    register("l1", "web", ids(3));
    register("l2", "api", ids(2));
    expire("l1");
    expire("l2");
    expect(guard.release("other")).toEqual(new Set());
    expect(guard.release("web")).toEqual(new Set(["web"]));
    expect(guard.size()).toBe(2);
    expect(guard.release()).toEqual(new Set(["api"]));
    expect(guard.size()).toBe(0);
    expect(new Set(exits)).toEqual(new Set(["operator"]));
  });
});

describe("a hold of what a standby saw depart", () => {
  it("ends as long after the departure as any other", async () => {
    const { clock, guard, confirm, register } = setUp();
    register("l1", "web", ["up"]);
    const lost = {
      type: "lost",
      service: "web",
      registration: registration("1"),
      cause: "lease",
      revision: 5,
    } as const;
    const many = ["1", "2", "3"].map((id) => ({ ...lost, registration: registration(id), agoMs: HOLD_MS - 5000 }));
    guard.observe(many);
    expect(guard.size()).toBe(3);
    expect(guard.holds("web")?.[0]?.until).toBe(clock.now() + 5000);
    await clock.advance(4999);
    confirm();
    expect(guard.size()).toBe(3);
    await clock.advance(1);
    confirm();
    expect(guard.size()).toBe(0);
  });
});

it("a hold of what departed a part of a millisecond ago is stored as a publisher reads it", () => {
  const { guard, register } = setUp();
  register("l1", "web", ["up"]);
  const lost = { type: "lost", service: "web", cause: "lease", revision: 5, agoMs: 2683.1885 } as const;
  guard.observe(["1", "2", "3"].map((id) => ({ ...lost, registration: registration(id) })));
  const holds = guard.holds("web") ?? [];
  expect(holds).toHaveLength(3);
  const stored = {
    schema: 1,
    kind: "service",
    namespace: "default",
    service: "web",
    epoch: 1,
    revision: 5,
    etcdRevision: 5,
    publishedAt: "2026-01-01T00:00:00.000Z",
    instances: holds.map(({ id }) => ({ id, status: "suspect" })),
    holds,
  };
  expect(decodeSnapshotFound(JSON.stringify(stored), "default", "web").holds).toEqual(holds);
});

describe("a hold of a former leader", () => {
  it("does not end by a sentinel that a start of the publisher finds, as by one that comes then", async () => {
    const { clock, catalog, guard, confirm, register } = setUp();
    const key = sentinelKey("a", "l0");
    const value = JSON.stringify({ ttlSeconds: TTL_SECONDS });
    restoreCatalog(catalog, [{ key, value, lease: "l0", createRevision: 1, modRevision: 1 }], 1);
    register("l1", "web", ["up"], {}, "b");
    const since = clock.now() - 1000;
    const hold = { id: "1", cause: "lease", since, until: since + HOLD_MS, agent: "a", ttlSeconds: TTL_SECONDS };
    guard.takeUp([{ service: "web", hold, registration: registration("1") }], clock.now());
    await clock.advance(1.5 * TTL_SECONDS * 1000);
    confirm();
    expect(guard.size()).toBe(1);
    register("l2", "web", [], {}, "a");
    await clock.advance(TTL_SECONDS * 1000);
    confirm();
    expect(guard.size()).toBe(0);
  });

  const found = (until: number, since: number, cause = "lease"): HoldFound => ({
    service: "web",
    hold: { id: "1", cause, since, until },
    registration: registration("1"),
  });

  it("ends when that leader said, and never later than ours would", async () => {
    const { clock, guard, confirm } = setUp();
    guard.takeUp([found(clock.now() + 5000, clock.now() - 1000)], clock.now());
    await clock.advance(4999);
    confirm();
    expect(guard.size()).toBe(1);
    await clock.advance(1);
    confirm();
    expect(guard.size()).toBe(0);
    guard.takeUp([found(clock.now() + 100 * HOLD_MS, clock.now() + 50 * HOLD_MS)], clock.now());
    await clock.advance(HOLD_MS);
    confirm();
    expect(guard.size()).toBe(0);
  });

  it("has as long left as when that leader wrote last, whatever its clock says now", async () => {
    for (const aheadMs of [100 * HOLD_MS, -100 * HOLD_MS]) {
      const { clock, guard, confirm } = setUp();
      const theirsMs = clock.now() - aheadMs;
      guard.takeUp([found(theirsMs + HOLD_MS / 2, theirsMs - HOLD_MS / 2)], theirsMs);
      await clock.advance(0.4 * HOLD_MS - 1);
      confirm();
      expect(guard.size(), `ahead by ${aheadMs} ms`).toBe(1);
      await clock.advance(0.1 * HOLD_MS + 1);
      confirm();
      expect(guard.size(), `ahead by ${aheadMs} ms`).toBe(0);
    }
  });

  it("of an instance that its agent called down does not end by that agent's presence; one of a lost lease does", async () => {
    const { clock, guard, confirm, register } = setUp();
    const of = (id: string, cause: string): HoldFound => ({
      service: "web",
      hold: { id, cause, since: clock.now(), until: clock.now() + HOLD_MS, agent: "a", ttlSeconds: TTL_SECONDS },
      registration: registration(id),
    });
    register("l1", "other", ["1"]);
    guard.takeUp([of("1", "heartbeat"), of("2", "lease"), of("3", "missing")], clock.now());
    await clock.advance(2 * TTL_SECONDS * 1000);
    confirm();
    expect([...guard.held("web").keys()]).toEqual(["1"]);
  });

  it("is not begun anew by what is told of the same departure", async () => {
    const { clock, guard } = setUp();
    const first = found(clock.now() + 5000, clock.now() - 1000);
    guard.takeUp([first], clock.now());
    await clock.advance(1000);
    const { service, registration: held } = first;
    guard.observe([{ type: "lost", service, registration: held, cause: "lease", revision: 5 }]);
    expect(guard.holds("web")).toEqual([first.hold]);
  });

  it("counts in the window as of when it began", async () => {
    const { clock, guard } = setUp({ windowSeconds: 60 });
    guard.takeUp([found(clock.now() + HOLD_MS, clock.now() - 50_000)], clock.now());
    expect(guard.budget().departed).toBe(1);
    await clock.advance(10_000);
    expect(guard.budget().departed).toBe(0);
  });
});
