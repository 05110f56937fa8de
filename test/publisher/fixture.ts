import { decodeCatalog, type Catalog } from "../../contract/catalog.ts";
import { instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import { decodeHead, type Head } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { encodeRegistration, type Registration } from "../../contract/registration.ts";
import { decodeSnapshot, type ServiceSnapshot } from "../../contract/snapshot.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { createCatalogState, type CatalogState } from "../../registrar/publisher/catalog-state.ts";
import { GUARD_DEFAULT } from "../../registrar/publisher/guard/limits.ts";
import type { WatchEvent } from "../../registrar/etcd/port.ts";
import type { Leadership } from "../../registrar/publisher/claim.ts";
import {
  createNamespacePublisher,
  type NamespacePublisher,
  type NamespacePublisherOptions,
} from "../../registrar/publisher/namespace-publisher.ts";
import { readText } from "../../registrar/publisher/read-script.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { registration } from "../support/instance.ts";

/** Whose leases the instances of a test namespace are under. */
export const AGENT = "agent-a";

export const parts = { clock: systemClock, random: systemRandom, log: createLog("test", "silent") };

/** What Redis holds of one namespace, read as a resolver reads it. */
export interface Stored {
  head(): Promise<Head | undefined>;
  catalog(): Promise<Catalog | undefined>;
  snapshot(service: string): Promise<ServiceSnapshot | undefined>;
}

export function storedIn(store: SnapshotStore, namespace = "default"): Stored {
  return {
    async head() {
      const { text } = await readText(store, headKey(namespace));
      return text === undefined ? undefined : decodeHead(text, namespace);
    },
    async catalog() {
      const { text } = await readText(store, catalogKey(namespace));
      return text === undefined ? undefined : decodeCatalog(text, namespace);
    },
    async snapshot(service) {
      const { text } = await readText(store, serviceKey(namespace, service));
      return text === undefined ? undefined : decodeSnapshot(text, namespace, service);
    },
  };
}

/** One namespace of an imagined etcd, and what publishes it: the tests say what happens there. */
export interface TestNamespace {
  readonly publisher: NamespacePublisher;
  readonly catalog: CatalogState;
  /** Under a lease of AGENT with a sentinel, or under none. */
  put(service: string, id: string, change?: Partial<Registration>, lease?: string): void;
  remove(service: string, id: string): void;
  /** The end of a lease: its sentinel goes, and what was put under it. */
  expire(lease: string): void;
  /** Begins to publish; only for one that was started as a standby. */
  lead(): void;
  /** How its last run ended. */
  ended(): Promise<"stopped" | "deposed">;
  stop(): Promise<void>;
}

export function startNamespace(
  store: SnapshotStore,
  options: Partial<
    NamespacePublisherOptions & Leadership & { readonly etcdRevision: number; readonly standby: boolean }
  > = {},
): TestNamespace {
  const namespace = options.namespace ?? "default";
  let revision = options.etcdRevision ?? 0;
  const catalog = createCatalogState(() => {}, options.clock ?? parts.clock);
  const stopping = new AbortController();
  const publisher = createNamespacePublisher({
    catalog,
    store,
    adopt: false,
    auditIntervalMs: 300_000,
    guardSettings: GUARD_DEFAULT,
    ...parts,
    ...options,
    namespace,
  });
  const leadership = { identity: "identity-a", revision: 1, verify: () => Promise.resolve(true), ...options };
  let running: ReturnType<NamespacePublisher["run"]> | undefined;
  const lead = () => void (running ??= publisher.run(leadership, stopping.signal));
  if (!options.standby) lead();

  const events = (...entries: readonly { type: "put" | "delete"; key: string; value: string; lease: string }[]) => {
    revision++;
    const told = entries.map(({ type, ...entry }): WatchEvent => {
      return { type, entry: { ...entry, createRevision: revision, modRevision: revision } };
    });
    for (const [, { services, departures }] of catalog.apply(told, revision)) publisher.changed(services, departures);
  };
  const leased = new Map<string, Set<string>>();
  const keyOf = (service: string, instance: string) => instanceKey({ namespace, service, instance });
  return {
    publisher,
    catalog,
    put(service, id, change, lease = "0") {
      const key = keyOf(service, id);
      const value = encodeRegistration(registration(id, change));
      for (const keys of leased.values()) keys.delete(key);
      if (lease === "0") {
        events({ type: "put", key, value, lease });
        return;
      }
      const sentinel = { type: "put", key: sentinelKey(AGENT, lease), value: "{}", lease } as const;
      events(sentinel, { type: "put", key, value, lease });
      leased.set(lease, (leased.get(lease) ?? new Set()).add(key));
    },
    remove: (service, id) => events({ type: "delete", key: keyOf(service, id), value: "", lease: "" }),
    expire(lease) {
      const keys = [...(leased.get(lease) ?? []), sentinelKey(AGENT, lease)];
      leased.delete(lease);
      events(...keys.map((key) => ({ type: "delete", key, value: "", lease: "" }) as const));
    },
    lead,
    ended: () => running ?? Promise.reject(new Error("it was never told to lead")),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
