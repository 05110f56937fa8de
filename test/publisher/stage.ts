import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { serviceKey } from "../../contract/redis-keys.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts, startNamespace, storedIn, type Stored, type TestNamespace } from "./fixture.ts";

/** A real Redis of a test file's own, emptied before each test, and what the tests start on it, ended after each. */
export interface Stage {
  readonly redis: TestRedis;
  readonly store: SnapshotStore;
  readonly stored: Stored;
  readonly started: TestNamespace[];
  start(...args: Parameters<typeof startNamespace> | []): TestNamespace;
  /** The status of each instance that Redis has of a service, by id. */
  readonly statusesOf: (service: string) => Promise<Readonly<Record<string, string>>>;
  /** As stored, with what only publishers read. */
  readonly holdsOf: (service: string) => Promise<readonly Record<string, unknown>[] | undefined>;
}

/** To be called once, at the top of a test file; its fields are there once the tests run. */
export function setStage(): Stage {
  let redis: TestRedis;
  let store: SnapshotStore;
  let stored: Stored;
  const started: TestNamespace[] = [];

  beforeAll(async () => {
    redis = await startTestRedis();
    store = createDirectStore({ url: redis.url, ...parts });
    stored = storedIn(store);
  });
  beforeEach(async () => {
    await redis.cli("FLUSHALL");
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((namespace) => namespace.stop()));
  });
  afterAll(async () => {
    await store.close();
    await redis.close();
  });

  return {
    get redis() {
      return redis;
    },
    get store() {
      return store;
    },
    get stored() {
      return stored;
    },
    started,
    start(...args) {
      const namespace = args.length === 0 ? startNamespace(store) : startNamespace(...args);
      started.push(namespace);
      return namespace;
    },
    async statusesOf(service) {
      const instances = (await stored.snapshot(service))?.instances ?? [];
      return Object.fromEntries(instances.map(({ id, status }) => [id, status]));
    },
    holdsOf: async (service) => JSON.parse(await redis.cli("GET", serviceKey("default", service))).holds,
  };
}

export async function live(namespace: TestNamespace): Promise<void> {
  await until("the namespace is live", () => namespace.publisher.status().state === "live");
  await namespace.publisher.flushed();
}

/** Lets go all that is held, as an operator does. */
export async function release(namespace: TestNamespace): Promise<void> {
  namespace.publisher.changed(namespace.publisher.guard.release());
  await live(namespace);
}
