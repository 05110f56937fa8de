import { decodeCatalog, type Catalog } from "../../contract/catalog.ts";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { decodeHead, type Head } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { encodeRegistration, type Registration } from "../../contract/registration.ts";
import { decodeSnapshot, type ServiceSnapshot } from "../../contract/snapshot.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { createCatalogState, type CatalogState } from "../../registrar/publisher/catalog-state.ts";
import type { Leadership } from "../../registrar/publisher/claim.ts";
import {
  createNamespacePublisher,
  type NamespacePublisher,
  type NamespacePublisherOptions,
} from "../../registrar/publisher/namespace-publisher.ts";
import { readText } from "../../registrar/publisher/read-script.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { registration } from "../support/instance.ts";

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
  put(service: string, id: string, change?: Partial<Registration>): void;
  remove(service: string, id: string): void;
  /** How its last run ended. */
  ended(): Promise<"stopped" | "deposed">;
  stop(): Promise<void>;
}

export function startNamespace(
  store: SnapshotStore,
  options: Partial<NamespacePublisherOptions & Leadership & { readonly etcdRevision: number }> = {},
): TestNamespace {
  const namespace = options.namespace ?? "default";
  let revision = options.etcdRevision ?? 0;
  const catalog = createCatalogState(() => {});
  const stopping = new AbortController();
  const publisher = createNamespacePublisher({
    catalog,
    store,
    adopt: false,
    auditIntervalMs: 300_000,
    ...parts,
    ...options,
    namespace,
  });
  const leadership = { identity: "identity-a", revision: 1, verify: () => Promise.resolve(true), ...options };
  const running = publisher.run(leadership, stopping.signal);

  const apply = (type: "put" | "delete", service: string, id: string, value: string) => {
    const key = instanceKey({ namespace, service, instance: id });
    revision++;
    const entry = { key, value, createRevision: revision, modRevision: revision, lease: "0" };
    for (const [, services] of catalog.apply([{ type, entry }], revision)) publisher.changed(services);
  };
  return {
    publisher,
    catalog,
    put: (service, id, change) => apply("put", service, id, encodeRegistration(registration(id, change))),
    remove: (service, id) => apply("delete", service, id, ""),
    ended: () => running,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
