import { instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import type { Registration } from "../../contract/registration.ts";
import { createLog } from "../../node/log.ts";
import type { WatchEvent } from "../../registrar/etcd/port.ts";
import { createCatalogState } from "../../registrar/publisher/catalog-state.ts";
import { createGuard, type GuardOptions } from "../../registrar/publisher/guard/guard.ts";
import type { Exit } from "../../registrar/publisher/guard/hold.ts";
import { GUARD_DEFAULT } from "../../registrar/publisher/guard/limits.ts";
import { createManualClock } from "../support/clock.ts";
import { registration } from "../support/instance.ts";

export const TTL_SECONDS = 30;
export const HOLD_MS = GUARD_DEFAULT.holdSeconds * 1000;

/** A guard over a catalog; each call is one revision, told at once. */
export function setUp(settings: Partial<GuardOptions["settings"]> = {}) {
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

export const ids = (count: number, prefix = "") => Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
export const all = (names: readonly string[], status: string) => Object.fromEntries(names.map((id) => [id, status]));
