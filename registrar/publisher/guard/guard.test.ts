import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { instanceKey, sentinelKey } from "../../../contract/etcd-keys.ts";
import type { Registration } from "../../../contract/registration.ts";
import { createLog } from "../../../node/log.ts";
import { createManualClock } from "../../../test/support/clock.ts";
import { registration } from "../../../test/support/instance.ts";
import type { WatchEvent } from "../../etcd/port.ts";
import { createCatalogState } from "../catalog-state.ts";
import { createGuard, type GuardOptions, type HoldFound } from "./guard.ts";
import type { Evidence, Exit } from "./hold.ts";
import { GUARD_DEFAULT, ROUNDS_REFUSED, ROUNDS_REFUSED_LAST, ROUNDS_SILENT } from "./limits.ts";

const TTL_SECONDS = 30;
const HOLD_MS = GUARD_DEFAULT.holdSeconds * 1000;
const CLEAR: Evidence = { refusals: true, silence: true };

/** A guard over a catalog; each call is one revision, told at once. */
function setUp(settings: Partial<GuardOptions["settings"]> = {}) {
  const clock = createManualClock();
  const catalog = createCatalogState(() => {}, clock);
  const outcomes = { passed: 0, held: 0 };
  const exits: Exit[] = [];
  const guard = createGuard({
    namespace: "default",
    settings: { ...GUARD_DEFAULT, ...settings },
    catalog,
    published: () => [...catalog.services("default")].flatMap((service) => guard.instances(service)).length,
    clock,
    log: createLog("test", "silent"),
    onDepartures: (outcome, count) => (outcomes[outcome] += count),
    onExit: (exit) => exits.push(exit),
  });
  let revision = 0;
  const keyOf = (service: string, id: string) => instanceKey({ namespace: "default", service, instance: id });
  const members = new Map<string, Set<string>>();
  const tell = (...events: { type: "put" | "delete"; key: string; value?: string; lease?: string }[]) => {
    revision++;
    const told = events.map(({ type, key, value = "", lease = "" }): WatchEvent => {
      return { type, entry: { key, value, lease, createRevision: revision, modRevision: revision } };
    });
    for (const [, { services, departures }] of catalog.apply(told, revision)) {
      guard.settle(services);
      guard.observe(departures);
    }
  };
  return {
    clock,
    catalog,
    guard,
    outcomes,
    exits,
    /** `ids` of a service, one lease with a sentinel of `agent`. */
    register: (
      lease: string,
      service: string,
      ids: readonly string[],
      change: Partial<Registration> = {},
      agent = "a",
    ) => {
      const keys = ids.map((id) => keyOf(service, id));
      for (const own of members.values()) for (const key of keys) own.delete(key);
      const own = members.get(lease) ?? new Set();
      members.set(lease, own);
      for (const key of keys) own.add(key);
      tell(
        { type: "put", key: sentinelKey(agent, lease), value: JSON.stringify({ ttlSeconds: TTL_SECONDS }), lease },
        ...ids.map((id) => {
          const value = JSON.stringify(registration(id, change));
          return { type: "put" as const, key: keyOf(service, id), value, lease };
        }),
      );
    },
    expire: (lease: string, agent = "a") => {
      const keys = [...(members.get(lease) ?? []), sentinelKey(agent, lease)];
      members.delete(lease);
      tell(...keys.map((key) => ({ type: "delete" as const, key })));
    },
    deregister: (service: string, ...ids: string[]) => {
      const keys = ids.map((id) => keyOf(service, id));
      for (const own of members.values()) for (const key of keys) own.delete(key);
      tell(...keys.map((key) => ({ type: "delete" as const, key })));
    },
    confirm: () => guard.tick(clock.now()),
    statuses: (service: string) =>
      Object.fromEntries(guard.instances(service).map(({ id, status }) => [id, status] as const)),
  };
}

const ids = (count: number, prefix = "") => Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
const all = (names: readonly string[], status: string) => Object.fromEntries(names.map((id) => [id, status]));

describe("a departure on purpose", () => {
  it("is published at once, to zero, in the middle of an incident", () => {
    const { register, expire, deregister, statuses, guard } = setUp();
    register("l1", "web", ids(40));
    register("l2", "api", ids(3));
    expire("l1");
    expect(guard.size()).toBe(40);
    deregister("api", ...ids(3));
    expect(statuses("api")).toEqual({});
    register("l3", "web", ids(40));
    deregister("web", ...ids(40));
    expect(statuses("web")).toEqual({});
  });

  it("includes one that was draining when its lease ended", () => {
    const { register, expire, statuses, guard } = setUp();
    register("l1", "web", ["1"], { status: "draining" });
    expire("l1");
    expect(statuses("web")).toEqual({});
    expect(guard.size()).toBe(0);
  });
});

describe("an unplanned departure", () => {
  it("passes while a quarter of its service at most has gone, and is held past it, in any order of revisions", () => {
    const { register, expire, statuses, outcomes } = setUp();
    for (const id of ids(8)) register(`l${id}`, "web", [id]);
    for (const id of ids(5)) expire(`l${id}`);
    expect(statuses("web")).toEqual({ ...all(["3", "4", "5"], "suspect"), ...all(["6", "7", "8"], "up") });
    expect(outcomes).toEqual({ passed: 2, held: 3 });
  });

  it("passes again once the window is over", async () => {
    const { register, expire, statuses, clock } = setUp({ windowSeconds: 5 });
    for (const id of ids(4)) register(`l${id}`, "web", [id]);
    expire("l1");
    await clock.advance(5000);
    expire("l2");
    expire("l3");
    expect(statuses("web")).toEqual({ 3: "suspect", 4: "up" });
  });

  it("obeys the percentages it is given", () => {
    const { register, expire, statuses } = setUp({ servicePercent: 50, catalogPercent: 100 });
    for (const id of ids(8)) register(`l${id}`, "web", [id]);
    for (const id of ids(5)) expire(`l${id}`);
    expect(statuses("web")).toEqual({ 5: "suspect", ...all(["6", "7", "8"], "up") });
  });

  it("is held with all others of its lease when they are too many for the catalog, though few of each service", () => {
    const { register, expire, guard } = setUp();
    for (const service of ids(11, "s")) {
      register("shared", service, ["x"]);
      register(`l-${service}`, service, ids(20));
    }
    expire("shared");
    expect(guard.size()).toBe(11);
  });

  it("passes as one of ten of a small catalog, and of two percent of a large one", () => {
    const large = setUp();
    for (const service of ids(30, "s")) large.register(`l-${service}`, service, ids(50));
    for (const service of ids(30, "s")) large.register("shared", service, ["x"]);
    large.expire("shared");
    expect(large.guard.size()).toBe(0);
    const small = setUp();
    for (const service of ids(10, "s")) small.register(`l-${service}`, service, ids(3));
    for (const service of ids(10, "s")) small.register("shared", service, ["x"]);
    small.expire("shared");
    expect(small.guard.size()).toBe(0);
  });

  it("is always held where it is of a service's last, even one alone", () => {
    const { register, expire, statuses } = setUp();
    register("l1", "web", ["1"]);
    register("l2", "web", ["2"], { status: "draining" });
    expire("l1");
    expect(statuses("web")).toEqual({ 1: "suspect", 2: "draining" });
  });

  it("as down, said by an agent that lives, passes within the budget also as the last one", () => {
    const { register, statuses } = setUp();
    register("l1", "web", ["1"]);
    register("l1", "web", ["1"], { status: "down", cause: "heartbeat" });
    expect(statuses("web")).toEqual({ 1: "down" });
  });

  it("as down is held past the budget, and its removal by the agent ends no hold", () => {
    const { register, deregister, statuses, guard } = setUp();
    register("l1", "web", ids(4));
    register("l1", "web", ["1", "2"], { status: "down", cause: "heartbeat" });
    expect(statuses("web")).toEqual({ ...all(["1", "2"], "suspect"), ...all(["3", "4"], "up") });
    expect(guard.holds("web")).toMatchObject([{ id: "1", cause: "heartbeat" }, { id: "2" }]);
    // As one, though etcd has them as well.
    expect(guard.instances("web").map(({ id }) => id)).toEqual(ids(4));
    deregister("web", "1");
    expect(statuses("web")).toEqual({ ...all(["1", "2"], "suspect"), ...all(["3", "4"], "up") });
  });

  it("that comes and goes counts once", () => {
    const { register, statuses } = setUp();
    register("l1", "web", ids(4));
    for (let round = 0; round < 10; round++) {
      register("l1", "web", ["1"], { status: "down", cause: "heartbeat" });
      expect(statuses("web")).toMatchObject({ 1: "down" });
      register("l1", "web", ["1"]);
    }
  });

  it("counts also when it is held, so that no small lease passes amid a large incident", () => {
    const { register, expire, guard } = setUp();
    register("large", "web", ids(60));
    register("rest", "web", ids(60, "r"));
    for (const service of ids(5, "s")) {
      register("small", service, ["x"]);
      register(`l-${service}`, service, ids(20));
    }
    expire("large");
    expire("small");
    expect(guard.size()).toBe(65);
  });

  it("that a new list no longer has is judged like the end of a lease", () => {
    const { register, catalog, guard, statuses } = setUp();
    register("l1", "web", ids(3));
    const changes = catalog.restore([], 100).get("default");
    guard.settle(changes?.services ?? []);
    guard.observe(changes?.departures ?? []);
    expect(statuses("web")).toEqual(all(ids(3), "suspect"));
    expect(guard.holds("web")).toMatchObject([{ cause: "missing", agent: "a", ttlSeconds: TTL_SECONDS }, {}, {}]);
  });
});

describe("what etcd forgets by a restore from a backup", () => {
  it("is held, however little of a service or of the catalog it is", () => {
    const { register, catalog, guard, statuses } = setUp();
    register("l1", "web", ids(20));
    const entries = ids(19).map((id) => {
      const key = instanceKey({ namespace: "default", service: "web", instance: id });
      return { key, value: JSON.stringify(registration(id)), lease: "l1", createRevision: 1, modRevision: 1 };
    });
    const changes = catalog.restore(entries, 1, true).get("default");
    guard.settle(changes?.services ?? []);
    guard.observe(changes?.departures ?? []);
    expect(statuses("web")).toEqual({ ...all(ids(19), "up"), 20: "suspect" });
    expect(catalog.departed({ namespace: "default", service: "web", instance: "20" })?.forgotten).toBe(true);
  });
});

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
    const changes = catalog.restore(entries, 100).get("default");
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

  it("not by its agent's return while that still registers: each new lease begins the time anew", async () => {
    const { clock, register, confirm, guard } = incident(true);
    for (let lease = 0; lease < 5; lease++) {
      register(`n${lease}`, "other", [`${lease}`]);
      await clock.advance(TTL_SECONDS * 1000 - 1);
      confirm();
    }
    expect(guard.size()).toBe(3);
  });

  it("with its agent there all along, which is given its time from when the lease ended", async () => {
    const { clock, register, expire, confirm, guard } = setUp();
    register("other", "other", ["1"]);
    register("l1", "web", ids(3));
    register("l2", "web", ["up"], {}, "b");
    await clock.advance(10 * TTL_SECONDS * 1000);
    expire("l1");
    confirm();
    await clock.advance(TTL_SECONDS * 1000 - 1);
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

describe("a hold of a former leader", () => {
  const found = (until: number, since: number, cause = "lease"): HoldFound => ({
    service: "web",
    hold: { id: "1", cause, since, until },
    registration: registration("1"),
  });

  it("ends when that leader said, and never later than ours would", async () => {
    const { clock, guard, confirm } = setUp();
    guard.takeUp([found(clock.now() + 5000, clock.now() - 1000)]);
    await clock.advance(4999);
    confirm();
    expect(guard.size()).toBe(1);
    await clock.advance(1);
    confirm();
    expect(guard.size()).toBe(0);
    guard.takeUp([found(clock.now() + 100 * HOLD_MS, clock.now() + 50 * HOLD_MS)]);
    await clock.advance(HOLD_MS);
    confirm();
    expect(guard.size()).toBe(0);
  });

  it("of an instance that its agent called down does not end by that agent's presence; one of a lost lease does", async () => {
    const { clock, guard, confirm, register } = setUp();
    const of = (id: string, cause: string): HoldFound => ({
      service: "web",
      hold: { id, cause, since: clock.now(), until: clock.now() + HOLD_MS, agent: "a", ttlSeconds: TTL_SECONDS },
      registration: registration(id),
    });
    register("l1", "other", ["1"]);
    guard.takeUp([of("1", "heartbeat"), of("2", "lease"), of("3", "missing")]);
    await clock.advance(2 * TTL_SECONDS * 1000);
    confirm();
    expect([...guard.held("web").keys()]).toEqual(["1"]);
  });

  it("is not begun anew by what is told of the same departure", async () => {
    const { clock, guard } = setUp();
    const first = found(clock.now() + 5000, clock.now() - 1000);
    guard.takeUp([first]);
    await clock.advance(1000);
    const { service, registration: held } = first;
    guard.observe([{ type: "lost", service, registration: held, cause: "lease", revision: 5 }]);
    expect(guard.holds("web")).toEqual([first.hold]);
  });

  it("counts in the window as of when it began", async () => {
    const { clock, guard } = setUp({ windowSeconds: 60 });
    guard.takeUp([found(clock.now() + HOLD_MS, clock.now() - 50_000)]);
    expect(guard.budget().departed).toBe(1);
    await clock.advance(10_000);
    expect(guard.budget().departed).toBe(0);
  });
});

describe("whatever happens", () => {
  const services = ["a", "b", "c"];
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("register" as const), service: fc.constantFrom(...services) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("expire" as const), service: fc.constantFrom(...services) }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("deregister" as const), service: fc.constantFrom(...services) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("drain" as const), service: fc.constantFrom(...services) }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: HOLD_MS / 3 }) }),
    },
  );
  const lease = fc.integer({ min: 0, max: 3 });
  const some = fc.uniqueArray(fc.constantFrom(...ids(6)), { minLength: 1 });

  it("nothing is emptied without an exit, no hold outlives its deadline, and what goes on purpose goes at once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, lease, some), { maxLength: 40 }), async (steps) => {
        const { clock, guard, catalog, exits, confirm, register, expire, deregister, statuses } = setUp();
        /** What must not be: what stays after it was deregistered, and services emptied without a reason. */
        const lingering: string[] = [];
        const emptied: string[] = [];
        for (const [one, number, names] of steps) {
          const before = new Map(services.map((service) => [service, servable(statuses(service))]));
          const exitsBefore = exits.filter((exit) => exit !== "registered").length;
          if (one.do === "wait") await clock.advance(one.ms);
          else if (one.do === "register") register(`l${number}`, one.service, names);
          else if (one.do === "drain") register(`l${number}`, one.service, names, { status: "draining" });
          else if (one.do === "expire") expire(`l${number}`);
          else {
            // What etcd does not have, nobody can deregister.
            const there = names.filter((id) => catalog.registrations("default", one.service).has(id));
            if (there.length > 0) deregister(one.service, ...there);
            lingering.push(...there.filter((id) => id in statuses(one.service)));
          }
          confirm();
          const onPurpose = one.do === "deregister" || one.do === "drain";
          const wasEnded = exits.filter((exit) => exit !== "registered").length > exitsBefore;
          for (const service of services) {
            const isEmptied = before.get(service) !== 0 && servable(statuses(service)) === 0;
            if (isEmptied && !onPurpose && !wasEnded) emptied.push(service);
            for (const [id, { hold }] of guard.held(service)) {
              expect(clock.now() - hold.since).toBeLessThan(HOLD_MS);
              expect(catalog.registrations("default", service).get(id)?.status ?? "down").toBe("down");
            }
          }
        }
        expect({ lingering, emptied }).toEqual({ lingering: [], emptied: [] });
        await clock.advance(HOLD_MS);
        confirm();
        expect(guard.size()).toBe(0);
        for (const service of services) {
          const has = [...catalog.registrations("default", service)].map(([id, { status }]) => [id, status] as const);
          expect(statuses(service)).toEqual(Object.fromEntries(has));
        }
      }),
      { numRuns: 150 },
    );
  });

  function servable(statuses: Readonly<Record<string, string>>): number {
    return Object.values(statuses).filter((status) => status === "up" || status === "suspect").length;
  }
});
