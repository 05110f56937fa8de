import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { registration } from "../../test/support/instance.ts";
import type { KeyValue, WatchEvent } from "../etcd/port.ts";
import { restoreCatalog } from "../../test/support/catalog.ts";
import { createCatalogState, DEPARTED_MAX, type CatalogState, type Changes } from "./catalog-state.ts";

const clock = createManualClock();

function entry(key: string, value: string): KeyValue {
  return { key, value, createRevision: 1, modRevision: 1, lease: "0" };
}

const ref = fc.record({
  namespace: fc.constantFrom("default", "other"),
  service: fc.constantFrom("a", "b", "c"),
  instance: fc.constantFrom("1", "2"),
});
/** A port stands for a good registration, undefined for a value that cannot be read, and "gone" for a delete. */
const write = fc.record({
  ref,
  to: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constant(undefined), fc.constant("gone" as const)),
});
type Write = typeof write extends fc.Arbitrary<infer T> ? T : never;

function eventOf({ ref: where, to }: Write): WatchEvent {
  const key = instanceKey(where);
  if (to === "gone") return { type: "delete", entry: entry(key, "") };
  return {
    type: "put",
    entry: entry(key, to === undefined ? "{" : JSON.stringify(registration(where.instance, { port: to }))),
  };
}

/** What etcd holds after `writes`. */
function entriesAfter(writes: readonly Write[]): KeyValue[] {
  const held = new Map<string, KeyValue>();
  for (const one of writes) {
    const event = eventOf(one);
    if (event.type === "delete") held.delete(event.entry.key);
    else held.set(event.entry.key, event.entry);
  }
  return [...held.values()];
}

function view(catalog: CatalogState): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    [...catalog.namespaces()]
      .toSorted()
      .map((namespace) => [
        namespace,
        Object.fromEntries(
          [...catalog.services(namespace)]
            .toSorted()
            .map((service) => [service, Object.fromEntries(catalog.registrations(namespace, service))]),
        ),
      ]),
  );
}

function changedNames(before: ReturnType<typeof view>, after: ReturnType<typeof view>): string[] {
  const changed: string[] = [];
  for (const namespace of ["default", "other"]) {
    for (const service of ["a", "b", "c"]) {
      const was = JSON.stringify(before[namespace]?.[service]);
      if (was !== JSON.stringify(after[namespace]?.[service])) changed.push(`${namespace}/${service}`);
    }
  }
  return changed;
}

function names(changes: Changes): string[] {
  return [...changes]
    .flatMap(([namespace, { services }]) => [...services].map((one) => `${namespace}/${one}`))
    .toSorted();
}

describe("the catalog", () => {
  it("is the same by events as by a list of what they lead to", () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 30 }), (writes) => {
        const byEvents = createCatalogState(() => {}, clock);
        writes.forEach((one, index) => byEvents.apply([eventOf(one)], index + 1));
        const byList = createCatalogState(() => {}, clock);
        restoreCatalog(byList, entriesAfter(writes), writes.length);
        expect(view(byEvents)).toEqual(view(byList));
        expect(byEvents.undecodable()).toBe(byList.undecodable());
        expect(byEvents.revision()).toBe(byList.revision());
      }),
    );
  });

  it("names exactly the services that an event, or a new list, made different", () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 20 }), fc.array(write, { maxLength: 20 }), (first, second) => {
        const catalog = createCatalogState(() => {}, clock);
        for (const one of first) {
          const before = view(catalog);
          expect(names(catalog.apply([eventOf(one)], 1))).toEqual(changedNames(before, view(catalog)));
        }
        const before = view(catalog);
        expect(names(restoreCatalog(catalog, entriesAfter(second), 2))).toEqual(changedNames(before, view(catalog)));
      }),
    );
  });

  it("shows nothing of a list before it is whole, and nothing of one that was given up", () => {
    const catalog = createCatalogState(() => {}, clock);
    const of = (service: string) => {
      const key = instanceKey({ namespace: "default", service, instance: "1" });
      return entry(key, JSON.stringify(registration("1")));
    };
    restoreCatalog(catalog, [of("before")], 1);
    catalog.page(
      [of("given-up"), entry(instanceKey({ namespace: "default", service: "b", instance: "1" }), "{}")],
      true,
    );
    expect([...catalog.services("default")]).toEqual(["before"]);
    catalog.page([of("a")], true);
    catalog.page([of("b")], false);
    expect([...catalog.services("default")]).toEqual(["before"]);
    expect(names(catalog.restore(2))).toEqual(["default/a", "default/b", "default/before"]);
    expect([...catalog.services("default")]).toEqual(["a", "b"]);
    expect(catalog.undecodable()).toBe(0);
    expect(names(catalog.restore(3))).toEqual(["default/a", "default/b"]);
  });

  it("is compared with a list as that arrives: what stayed the same is kept, and nothing is left to compare at its end", () => {
    const catalog = createCatalogState(() => {}, clock);
    const of = (instance: string, port: number) => {
      const key = instanceKey({ namespace: "default", service: "a", instance });
      return entry(key, JSON.stringify(registration(instance, { port })));
    };
    restoreCatalog(catalog, [of("1", 1), of("2", 1)], 1);
    const before = new Map(catalog.registrations("default", "a"));
    // Of another history too, where equal revisions say nothing: it is the values that are compared.
    expect(names(restoreCatalog(catalog, [of("1", 1), of("2", 2)], 2, true))).toEqual(["default/a"]);
    const after = catalog.registrations("default", "a");
    expect(after.get("1")).toBe(before.get("1"));
    expect(after.get("2")).toMatchObject({ port: 2 });
  });

  it("tells of a value that is no registration once, by its key, and leaves it out", () => {
    const told: string[] = [];
    const catalog = createCatalogState((key) => told.push(key), clock);
    const key = instanceKey({ namespace: "default", service: "a", instance: "1" });
    const bad = entry(key, '{"secret":1}');
    restoreCatalog(catalog, [bad], 1);
    catalog.apply([{ type: "put", entry: bad }], 2);
    restoreCatalog(catalog, [bad], 3);
    expect(told).toEqual([key]);
    expect(catalog.undecodable()).toBe(1);
    expect([...catalog.namespaces()]).toEqual([]);
    catalog.apply([{ type: "put", entry: entry(key, JSON.stringify(registration("1", { port: 1 }))) }], 4);
    expect(catalog.undecodable()).toBe(0);
    expect([...catalog.services("default")]).toEqual(["a"]);
  });

  it("does not take our own keys, or keys of no instance, for registrations", () => {
    const told: string[] = [];
    const catalog = createCatalogState((key) => told.push(key), clock);
    const keys = ["/fingerpost/_agents/a/1", "/fingerpost/_publisher", "/fingerpost/default/a", "/other/default/a/1"];
    expect(
      restoreCatalog(
        catalog,
        keys.map((key) => entry(key, "x")),
        1,
      ).size,
    ).toBe(0);
    expect(told).toEqual([]);
  });

  const where = { namespace: "default", service: "a", instance: "1" };
  const putAt = (revision: number): WatchEvent => ({
    type: "put",
    entry: { ...entry(instanceKey(where), JSON.stringify(registration("1"))), lease: "7", modRevision: revision },
  });
  const deleteAt = (revision: number, key: string): WatchEvent => ({
    type: "delete",
    entry: { ...entry(key, ""), modRevision: revision },
  });

  const sentinelAt = (revision: number, agent: string, lease: string): WatchEvent => ({
    type: "put",
    entry: { ...entry(sentinelKey(agent, "7"), ""), lease, modRevision: revision },
  });

  it.each([
    ["before", 0],
    ["behind", 1],
  ])("tells the end of a lease from a deletion, with the sentinel %s the instance in the revision", (_, position) => {
    const catalog = createCatalogState(() => {}, clock);
    catalog.apply([sentinelAt(1, "agent", "7"), putAt(1)], 1);
    const expiry = [deleteAt(2, instanceKey(where))];
    expiry.splice(position, 0, deleteAt(2, sentinelKey("agent", "7")));
    expect(catalog.apply(expiry, 2).get("default")?.departures).toMatchObject([
      { type: "lost", service: "a", owner: { agent: "agent" }, revision: 2 },
    ]);
    catalog.apply([sentinelAt(3, "agent", "7"), putAt(3)], 3);
    expect(catalog.apply([deleteAt(4, instanceKey(where))], 4).get("default")?.departures).toEqual([]);
  });

  it.each([
    ["overwritten under no lease", sentinelAt(2, "agent", "0")],
    ["overwritten under another lease", sentinelAt(2, "agent", "8")],
    ["deleted", deleteAt(2, sentinelKey("agent", "7"))],
  ])("does not take a deletion for one on purpose once its lease's sentinel was %s", (_, event) => {
    const catalog = createCatalogState(() => {}, clock);
    catalog.apply([sentinelAt(1, "agent", "7"), putAt(1)], 1);
    catalog.apply([event], 2);
    expect(catalog.apply([deleteAt(3, instanceKey(where))], 3).get("default")?.departures).toMatchObject([
      { type: "lost", service: "a", revision: 3 },
    ]);
  });

  it("takes nobody's word for whose a lease is but the one's whose sentinel was on it first", () => {
    const catalog = createCatalogState(() => {}, clock);
    catalog.apply([sentinelAt(1, "agent", "7"), putAt(1)], 1);
    catalog.apply([sentinelAt(2, "stranger", "7")], 2);
    expect(catalog.sentinels.presenceOf("stranger")).toBeUndefined();
    catalog.apply([deleteAt(3, sentinelKey("stranger", "7"))], 3);
    const ended = [deleteAt(4, sentinelKey("agent", "7")), deleteAt(4, instanceKey(where))];
    expect(catalog.apply(ended, 4).get("default")?.departures).toMatchObject([{ owner: { agent: "agent" } }]);
  });

  it("does not take a deletion for the end of a lease that ends a revision later, though it is told together", () => {
    const catalog = createCatalogState(() => {}, clock);
    catalog.apply([sentinelAt(1, "agent", "7"), putAt(1)], 1);
    const events = [deleteAt(2, instanceKey(where)), deleteAt(3, sentinelKey("agent", "7"))];
    expect(catalog.apply(events, 3).get("default")?.departures).toEqual([]);
    expect(catalog.departed(where)).toEqual({ planned: true, revision: 2 });
  });

  it("forgets a departure when the instance is back, when etcd is another one, and when there are too many", () => {
    const catalog = createCatalogState(() => {}, clock);
    catalog.apply([putAt(1)], 1);
    catalog.apply([deleteAt(2, instanceKey(where))], 2);
    expect(catalog.departed(where)).toBeDefined();
    catalog.apply([putAt(3)], 3);
    expect(catalog.departed(where)).toBeUndefined();
    catalog.apply([deleteAt(4, instanceKey(where))], 4);
    restoreCatalog(catalog, [], 1, true);
    expect(catalog.departed(where)).toBeUndefined();
    catalog.apply([putAt(5)], 5);
    catalog.apply([deleteAt(6, instanceKey(where))], 6);
    for (let index = 0; index < DEPARTED_MAX; index++) {
      const key = instanceKey({ ...where, service: "b", instance: `${index}` });
      const value = JSON.stringify(registration(`${index}`));
      catalog.apply([{ type: "put", entry: entry(key, value) }], 7);
      catalog.apply([deleteAt(8, key)], 8);
    }
    expect(catalog.departed(where)).toBeUndefined();
    expect(catalog.departed({ ...where, service: "b", instance: "0" })).toBeDefined();
  });
});
