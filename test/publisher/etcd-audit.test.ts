import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CLUSTER_KEY, ETCD_PREFIX, instanceKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration } from "../../contract/registration.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import { serviceKey } from "../../contract/redis-keys.ts";
import { runRegistrar } from "../../registrar/run.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Etcd, WatchEvent } from "../../registrar/etcd/port.ts";
import { startPublisher, type Publisher } from "../../registrar/publisher/publisher.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { registration } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts, storedIn, type Stored } from "./fixture.ts";

let server: TestEtcd;
let redis: TestRedis;
let etcd: Etcd;
let store: SnapshotStore;
let stored: Stored;
let end: (() => Promise<void>) | undefined;

beforeAll(async () => {
  [server, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  etcd = createEtcd({ endpoints: [server.endpoint], ...server.root, ...parts });
  store = createDirectStore({ url: redis.url, ...parts });
  stored = storedIn(store);
});

afterEach(async () => {
  await end?.();
  for await (const { entries } of etcd.list(ETCD_PREFIX, new AbortController().signal)) {
    const keys = entries.map(({ key }) => key).filter((key) => key !== CLUSTER_KEY);
    for (let at = 0; at < keys.length; at += 100) {
      await etcd.transact(
        [],
        keys.slice(at, at + 100).map((key) => ({ type: "delete", key })),
      );
    }
  }
});

afterAll(async () => {
  await Promise.all([etcd.close(), store.close()]);
  await Promise.all([server.close(), redis.close()]);
});

/** A publisher whose watch loses the events that `loses` names, as no real one can be made to. */
async function start(
  loses: (event: WatchEvent) => boolean,
  auditIntervalSeconds: number,
  differences: string[],
  list?: Etcd["list"],
) {
  const lossy: Etcd = {
    ...etcd,
    ...(list ? { list } : {}),
    watch: (prefix, from, handlers) =>
      etcd.watch(prefix, from, {
        ...handlers,
        onEvents(events) {
          const rest = events.filter((event) => !loses(event));
          if (rest.length > 0) handlers.onEvents(rest);
        },
      }),
  };
  const leases = createLeaseKeeper({ etcd, ...parts });
  const publisher = startPublisher({
    etcd: lossy,
    leases,
    store,
    name: "a",
    namespaces: ["default"],
    adopt: false,
    heartbeatIntervalMs: 100,
    electionTtlSeconds: 2,
    auditIntervalSeconds,
    onEtcdDifference: () => differences.push("etcd"),
    randomBytes,
    ...parts,
  });
  end = async () => {
    end = undefined;
    await publisher.close();
    await leases.close();
  };
  await until("the publisher is ready", () => publisher.status().ready);
  return publisher;
}

const keyOf = (id: string) => instanceKey({ namespace: "default", service: "web", instance: id });

async function put(id: string, port = 8080): Promise<void> {
  await etcd.transact([], [{ type: "put", key: keyOf(id), value: encodeRegistration(registration(id, { port })) }]);
}

/** The counts were found to agree, and all values too, after this. */
async function audited(publisher: Publisher): Promise<void> {
  const now = Date.now();
  await until("the keys are counted", () => (publisher.status().audit.countedAtMs ?? 0) > now);
  const next = (publisher.status().audit.comparedAtMs ?? now) + 1;
  await until("the values are compared", () => (publisher.status().audit.comparedAtMs ?? 0) > next);
  const last = publisher.status().audit.comparedAtMs ?? 0;
  await until("and once more", () => (publisher.status().audit.comparedAtMs ?? 0) > last);
}

const portsOf = async () => (await stored.snapshot("web"))?.instances.map(({ id, port }) => [id, port]);

describe("a watch that loses an event", () => {
  it.each<[string, () => Promise<unknown>, [string, number][]]>([
    [
      "of a new key",
      () => put("lost"),
      [
        ["1", 8080],
        ["lost", 8080],
        ["2", 8080],
      ],
    ],
    [
      "of a deletion",
      () => etcd.transact([], [{ type: "delete", key: keyOf("lost") }]),
      [
        ["1", 8080],
        ["2", 8080],
      ],
    ],
    [
      "of a value put over another",
      () => put("lost", 9090),
      [
        ["1", 8080],
        ["lost", 9090],
        ["2", 8080],
      ],
    ],
  ])("%s is found out, once, and what etcd has is published", async (_what, change, ports) => {
    const differences: string[] = [];
    let losing = false;
    await put("1");
    if (ports.length < 3 || ports[1]?.[1] === 9090) await put("lost");
    const publisher = await start(({ entry }) => losing && entry.key === keyOf("lost"), 0.05, differences);
    losing = true;
    await change();
    await put("2");
    await until("it is found out", async () => differences.length);
    losing = false;
    await until("what etcd has is published", async () => {
      return JSON.stringify(await portsOf()) === JSON.stringify(ports.toSorted(([a], [b]) => (a < b ? -1 : 1)));
    });
    await audited(publisher);
    expect(differences).toEqual(["etcd"]);
    expect(publisher.status().audit).toMatchObject({ differences: 1 });
  });
});

describe("an audit of etcd", () => {
  it("counts nothing while keys come, change and go", async () => {
    const differences: string[] = [];
    const publisher = await start(() => false, 0.02, differences);
    for (let round = 0; round < 60; round++) {
      await Promise.all(["1", "2", "3"].map((id) => put(`${id}-${round % 4}`, 8000 + round)));
      if (round % 3 === 0) await etcd.transact([], [{ type: "delete", key: keyOf(`1-${round % 4}`) }]);
    }
    await etcd.transact([], [{ type: "put", key: keyOf("bad"), value: "no registration" }]);
    await audited(publisher);
    expect(differences).toEqual([]);
    await until("its count is etcd's", async () => publisher.status().audit.keys === (await allKeys()).count);
  });

  it("reads a page of values at a time, and each once in a pass", async () => {
    for (let index = 0; index < 2100; index += 100) {
      const ids = Array.from({ length: 100 }, (_, at) => `i${index + at}`);
      const value = (id: string) => encodeRegistration(registration(id));
      await etcd.transact(
        [],
        ids.map((id) => ({ type: "put", key: keyOf(id), value: value(id) })),
      );
    }
    const turns: string[][] = [];
    const publisher = await start(
      () => false,
      0.05,
      [],
      async function* list(prefix, signal, from) {
        const turn: string[] = [];
        if (from !== undefined) turns.push(turn);
        for await (const page of etcd.list(prefix, signal, from)) {
          turn.push(...page.entries.map(({ key }) => key));
          yield page;
        }
      },
    );
    await until("a pass is over", () => publisher.status().audit.comparedAtMs);
    await until("the keys are counted", () => publisher.status().audit.countedAtMs);
    const sizes = turns.slice(0, 4).map(({ length }) => length);
    expect(sizes).toEqual([1000, 1000, expect.any(Number), 0]);
    // Not counted with the rest: an election's key may come or go between this pass and a count.
    const read = turns.slice(0, 4).flat();
    expect(new Set(read).size).toBe(read.length);
    expect(read.filter((key) => key.startsWith(keyOf("i")))).toHaveLength(2100);
  });
});

describe("a registrar", () => {
  it("audits at the interval it is given, and tells in its metrics and its status", async () => {
    await put("1");
    const registrar = await runRegistrar(
      {
        etcd: { endpoints: [server.endpoint], ...server.root },
        redis: { type: "direct", url: redis.url },
        listen: { host: "127.0.0.1", port: 0 },
        role: "publisher",
        namespace: "default",
        leaseTtlSeconds: 30,
        auditIntervalSeconds: 1,
        adopt: true,
        leave: false,
      },
      { ...parts, signal: new AbortController().signal },
    );
    end = () => registrar.close();
    const metrics = async () => (await fetch(`${registrar.url}/metrics`)).text();
    await until("it is ready", async () => (await fetch(`${registrar.url}/readyz`)).ok);
    expect(await metrics()).toContain('fingerpost_audit_differences_total{of="snapshot"} 0');
    await redis.cli("DEL", serviceKey("default", "web"));
    await until("it is counted", async () => {
      return (await metrics()).includes('fingerpost_audit_differences_total{of="snapshot"} 1');
    });
    await until("it is there again", () => stored.snapshot("web"));
    const status: unknown = await (await fetch(`${registrar.url}/v1/status`)).json();
    expect(status).toMatchObject({
      publisher: { namespaces: [{ audit: { differences: 1 } }], audit: { differences: 0 } },
    });
  });
});

async function allKeys(): Promise<{ readonly count: number }> {
  let count = 0;
  for await (const { entries } of etcd.list(ETCD_PREFIX, new AbortController().signal)) count += entries.length;
  return { count };
}
