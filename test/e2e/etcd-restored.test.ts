import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { decodeHead, type Head } from "../../contract/head.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { ETCD_PREFIX, parseInstanceKey } from "../../contract/etcd-keys.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import type { Registrar } from "../../registrar/run.ts";
import { connect, entriesBelow, send, startRegistrar } from "../agent/registrar.ts";
import { readThroughout, startEdge, type Edge } from "../support/edge.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

const SERVICE = "web";
/** Calls with the tokens of before hang until their deadline, and leases are looked at every 5 s. */
const SETTLED_WITHIN_MS = 45_000;

let etcd: TestEtcd;
let redis: TestRedis;
let root: Etcd;
let registrar: Registrar;
let edge: Edge;

beforeAll(async () => {
  [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  root = connect(etcd, "root", { timeoutMs: 1000 });
  registrar = await startRegistrar(etcd, { role: "both", redis: { type: "direct", url: redis.url } });
  edge = await startEdge(redis.url);
  await until("the registrar is ready", async () => (await send(registrar.url, { path: "/readyz" })).status === 200);
});
afterAll(async () => {
  await edge.close();
  await registrar.close();
  await root.close();
  await Promise.all([etcd.close(), redis.close()]);
});

const pathOf = (id: string) => `/v1/services/${SERVICE}/instances/${id}`;

async function register(id: string): Promise<void> {
  const body = { address: "127.0.0.1", port: 9000, ttlSeconds: 3600 };
  expect((await send(registrar.url, { method: "PUT", path: pathOf(id), body })).status).toBe(201);
}

async function head(): Promise<Head> {
  return decodeHead(await redis.cli("GET", headKey("default")), "default");
}

async function inEtcd(): Promise<readonly string[]> {
  const entries = await entriesBelow(root, ETCD_PREFIX);
  return entries.flatMap(({ key }) => parseInstanceKey(key)?.instance ?? []).toSorted();
}

it("an etcd restored from a backup gets back what it lost from its agents, under a new epoch, and readers miss nothing", async () => {
  await register("before");
  const backup = await etcd.backUp(etcd.root);
  await register("after");
  await until("all of it is at the edge", async () => {
    return [...(await edge.lookup(SERVICE)).instances.keys()].join() === "after,before";
  });
  const reader = readThroughout(edge, [SERVICE]);
  onTestFinished(() => reader.stop());
  const { epoch } = await head();

  await etcd.kill();
  await backup.restore();
  await etcd.start();
  await until("a new epoch is claimed", async () => (await head()).epoch > epoch, { timeoutMs: SETTLED_WITHIN_MS });
  await until("etcd has what the agent holds", async () => (await inEtcd()).join() === "after,before", {
    timeoutMs: SETTLED_WITHIN_MS,
  });
  await until("so has the edge", () => {
    const instances = [...(reader.latest(SERVICE)?.instances ?? [])];
    return instances.map(([id, status]) => `${id} ${status}`).join() === "after up,before up";
  });
  await reader.stop();
  expect(
    reader.faults(({ instances }) =>
      instances.has("before") && instances.has("after") ? undefined : "one is missing",
    ),
  ).toEqual([]);
}, 120_000);
