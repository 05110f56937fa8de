import { createClient } from "@redis/client";
import { encodeCatalog } from "../../contract/catalog.ts";
import { encodeHead, type Head, type RingEntry } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { encodeSnapshot, type Instance } from "../../contract/snapshot.ts";

/** Writes stored documents into any Redis, or any stand-in for one. */
export type Write = (values: Readonly<Record<string, string>>) => Promise<void> | void;

export interface TestPublisher {
  readonly namespace: string;
  epoch: number;
  revision: number;
  /** By the wall clock; changed by a test to look like a dead publisher. */
  confirmedAt: number;
  readonly services: Map<string, readonly Instance[]>;
  /** Changes one service and commits: snapshot, then head. The catalog is left as it was. */
  put(service: string, instances: readonly Instance[]): Promise<void>;
  /** Ends a service with a tombstone. */
  end(service: string, tombstoneUntil: number): Promise<void>;
  /** Writes everything, as after a claim over nothing: ring empty, catalog new. */
  fill(): Promise<void>;
  /** Writes the head alone, changed as told. */
  writeHead(change?: Partial<Head>): Promise<void>;
  /** The text of a service's snapshot as it is now. */
  snapshotText(service: string): string;
}

/** Publishes as the registrar does, without its guards: the tests are the only writer. */
export function createTestPublisher(write: Write, options: { namespace?: string; now: () => number }): TestPublisher {
  const { namespace = "default", now } = options;
  let floor = 0;
  let catalogRevision = 0;
  let lifeEpoch: number | undefined;
  let ring: RingEntry[] = [];
  const stamps = new Map<string, { epoch: number; revision: number }>();

  const publisher: TestPublisher = {
    namespace,
    epoch: 1,
    revision: 10,
    confirmedAt: now(),
    services: new Map(),
    snapshotText(service) {
      const stamp = stamps.get(service) ?? { epoch: publisher.epoch, revision: publisher.revision };
      return encodeSnapshot({
        namespace,
        service,
        ...stamp,
        etcdRevision: stamp.revision,
        publishedAt: "2026-11-21T04:30:00.125Z",
        instances: publisher.services.get(service) ?? [],
      });
    },
    async put(service, instances) {
      publisher.services.set(service, instances);
      stamps.set(service, { epoch: publisher.epoch, revision: ++publisher.revision });
      change(service, "added");
      await write({ [serviceKey(namespace, service)]: publisher.snapshotText(service) });
      await publisher.writeHead();
    },
    async end(service, tombstoneUntil) {
      publisher.services.delete(service);
      const revision = ++publisher.revision;
      change(service, "removed");
      const tombstone = encodeSnapshot({
        namespace,
        service,
        epoch: publisher.epoch,
        revision,
        etcdRevision: revision,
        publishedAt: "2026-11-21T04:30:01.000Z",
        tombstoneUntil,
        instances: [],
      });
      await write({ [serviceKey(namespace, service)]: tombstone });
      await publisher.writeHead();
    },
    async fill() {
      const revision = ++publisher.revision;
      ring = [];
      lifeEpoch = publisher.epoch;
      floor = revision;
      catalogRevision = revision;
      const values: Record<string, string> = {};
      for (const service of publisher.services.keys()) {
        stamps.set(service, { epoch: publisher.epoch, revision });
        values[serviceKey(namespace, service)] = publisher.snapshotText(service);
      }
      values[catalogKey(namespace)] = encodeCatalog({
        namespace,
        epoch: publisher.epoch,
        revision,
        services: new Map([...publisher.services].map(([service, instances]) => [service, instances.length])),
      });
      await write(values);
      await publisher.writeHead();
    },
    async writeHead(changed = {}) {
      const head: Head = {
        namespace,
        identity: "4f9c1be6a5ef4d1ab3b0a4d3c6f6a001",
        epoch: publisher.epoch,
        lifeEpoch,
        revision: publisher.revision,
        etcdRevision: publisher.revision,
        complete: true,
        heartbeatAt: now(),
        confirmedAt: publisher.confirmedAt,
        services: publisher.services.size,
        instances: 0,
        catalogRevision,
        ring: { floor, entries: ring },
        ...changed,
      };
      await write({ [headKey(namespace)]: encodeHead(head) });
    },
  };

  function change(service: string, kind: "added" | "removed"): void {
    ring = [...ring.filter(([, name]) => name !== service), [publisher.revision, service, kind]];
  }
  return publisher;
}

/** A `Write` into a real Redis. */
export async function connectWriter(url: string): Promise<{ write: Write; close(): Promise<void> }> {
  const client = createClient({ url, disableOfflineQueue: true });
  // Redis is killed under it on purpose, and it connects again by itself.
  client.on("error", () => undefined);
  await client.connect();
  return {
    async write(values) {
      for (const [key, value] of Object.entries(values)) await client.set(key, value);
    },
    async close() {
      client.destroy();
    },
  };
}
