import { restoreCatalog } from "../../../test/support/catalog.ts";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { instanceKey } from "../../../contract/etcd-keys.ts";
import { all, HOLD_MS, ids, setUp, TTL_SECONDS } from "../../../test/publisher/guard-world.ts";
import { registration } from "../../../test/support/instance.ts";

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
    const changes = restoreCatalog(catalog, [], 100).get("default");
    guard.settle(changes?.services ?? []);
    guard.observe(changes?.departures ?? []);
    expect(statuses("web")).toEqual(all(ids(3), "suspect"));
    expect(guard.holds("web")).toMatchObject([{ cause: "missing", agent: "a", ttlSeconds: TTL_SECONDS }, {}, {}]);
  });
});

describe("an instance whose value is no registration any more", () => {
  it("is held with all others of its kind, since an agent that is newer has taken nothing away", () => {
    const { register, catalog, guard, statuses } = setUp();
    register("l1", "web", ids(3));
    const events = ids(3).map((id) => {
      const key = instanceKey({ namespace: "default", service: "web", instance: id });
      return { type: "put" as const, entry: { key, value: "{}", lease: "l1", createRevision: 1, modRevision: 2 } };
    });
    const changes = catalog.apply(events, 2).get("default");
    guard.settle(changes?.services ?? []);
    guard.observe(changes?.departures ?? []);
    expect(statuses("web")).toEqual(all(ids(3), "suspect"));
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
    const changes = restoreCatalog(catalog, entries, 1, true).get("default");
    guard.settle(changes?.services ?? []);
    guard.observe(changes?.departures ?? []);
    expect(statuses("web")).toEqual({ ...all(ids(19), "up"), 20: "suspect" });
    expect(catalog.departed({ namespace: "default", service: "web", instance: "20" })?.forgotten).toBe(true);
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
