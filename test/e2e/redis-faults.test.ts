import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { decodeHead, type Head } from "../../contract/head.ts";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { decodeSnapshot } from "../../contract/snapshot.ts";
import { redisUrl } from "../../dev/redis.ts";
import type { Registrar } from "../../registrar/run.ts";
import { send, startRegistrar } from "../agent/registrar.ts";
import { readThroughout, startEdge, type Edge } from "../support/edge.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

// One address of Redis, and what a service of Redis can do to those behind it. A resolver reads throughout: it never
// fails, never goes back, and never loses the instance that is there all along.

const SERVICE = "web";
const ALWAYS = "always";
const FILLED_WITHIN_MS = 20_000;

let etcd: TestEtcd;
/** Whoever is behind the address now. */
let redis: TestRedis;
let replica: TestRedis;
let address: Proxy;
let registrar: Registrar;
let edge: Edge;

beforeAll(async () => {
  [etcd, redis, replica] = await Promise.all([startTestEtcd(), startTestRedis(), startTestRedis()]);
  // One user on both, as a replica of the same service has it.
  const user = { username: "both", password: "a-password-of-this-test" };
  const rules = ["reset", "on", `>${user.password}`, "~*", "&*", "+@all", "-@admin", "-@dangerous"];
  for (const server of [redis, replica]) await server.cli("ACL", "SETUSER", user.username, ...rules);
  address = await startProxy(redis.port);
  const url = redisUrl(address.port, user);
  registrar = await startRegistrar(etcd, { role: "both", redis: { type: "direct", url } });
  edge = await startEdge(url);
  await until("the registrar is ready", async () => (await send(registrar.url, { path: "/readyz" })).status === 200);
  await register(ALWAYS);
});
afterAll(async () => {
  await edge.close();
  await registrar.close();
  await address.close();
  await Promise.all([etcd.close(), redis.close(), replica.close()]);
});

async function register(id: string): Promise<void> {
  const body = { address: "127.0.0.1", port: 9000, ttlSeconds: 3600 };
  const { status } = await send(registrar.url, {
    method: "PUT",
    path: `/v1/services/${SERVICE}/instances/${id}`,
    body,
  });
  expect(status).toBe(201);
}

async function head(): Promise<Head> {
  return decodeHead(await redis.cli("GET", headKey("default")), "default");
}

async function published(): Promise<readonly string[]> {
  const text = await redis.cli("GET", serviceKey("default", SERVICE));
  return text === "" ? [] : decodeSnapshot(text, "default", SERVICE).instances.map(({ id }) => id);
}

const isPublished = (id: string) => until(`${id} is in Redis`, async () => (await published()).includes(id));

/** Begins to read, and shows at the end of the test that every answer was right. */
async function readWell(): Promise<ReturnType<typeof readThroughout>> {
  await until("the service is at the edge", async () => (await edge.lookup(SERVICE)).instances.has(ALWAYS));
  const reader = readThroughout(edge, [SERVICE]);
  onTestFinished(async () => {
    await reader.stop();
    const faults = reader.faults(({ instances }) => (instances.has(ALWAYS) ? undefined : `without ${ALWAYS}`));
    expect(faults).toEqual([]);
    expect(reader.answers.length).toBeGreaterThan(5);
  });
  return reader;
}

const untilRead = (reader: ReturnType<typeof readThroughout>, id: string) =>
  until(`${id} is at the edge`, () => reader.latest(SERVICE)?.instances.has(id), { timeoutMs: FILLED_WITHIN_MS });

it("an older replica that is promoted is noticed, claimed under a new epoch and filled, and no reader goes back", async () => {
  const replication = await startProxy(redis.port);
  onTestFinished(() => replication.close());
  const user = ["replicating", "on", ">a-password-of-the-replica", "+psync", "+replconf", "+ping"];
  await redis.cli("ACL", "SETUSER", ...user);
  await replica.cli("CONFIG", "SET", "masteruser", "replicating", "masterauth", "a-password-of-the-replica");
  await replica.cli("REPLICAOF", "127.0.0.1", String(replication.port));
  const reader = await readWell();
  await register("replicated");
  await until("the replica has followed", async () => {
    const text = await replica.cli("GET", serviceKey("default", SERVICE));
    return text.includes('"replicated"');
  });

  // The link breaks, and writes go on that the replica never hears of.
  await replication.refuse(true);
  replication.reset();
  await register("lost");
  await untilRead(reader, "lost");
  const before = await head();
  const old = decodeHead(await replica.cli("GET", headKey("default")), "default");
  expect(old.revision).toBeLessThan(before.revision);

  await replica.cli("REPLICAOF", "NO", "ONE");
  [redis, replica] = [replica, redis];
  address.target(redis.port);
  address.reset();
  const after = await until("another epoch is claimed", async () => {
    const now = await head();
    return now.epoch > before.epoch && now;
  });
  expect(after.revision).toBeGreaterThanOrEqual(old.revision);
  await isPublished("lost");
  expect((await head()).revision).toBeGreaterThan(before.revision);
  await register("after-promotion");
  await untilRead(reader, "after-promotion");
});

it("a Redis that was emptied is filled again under a new epoch, and a later revision", async () => {
  const reader = await readWell();
  const before = await head();
  await redis.cli("FLUSHALL");
  await isPublished(ALWAYS);
  const after = await until("the head is complete", async () => {
    const now = await head();
    return now.complete && now;
  });
  expect(after.epoch).toBeGreaterThan(before.epoch);
  expect(after.revision).toBeGreaterThan(before.revision);
  await register("after-flush");
  await untilRead(reader, "after-flush");
});

it.each<readonly [string, readonly string[], readonly string[], string]>([
  [
    "only reads for a while",
    ["CONFIG", "SET", "min-replicas-to-write", "1"],
    ["CONFIG", "SET", "min-replicas-to-write", "0"],
    "NOREPLICAS",
  ],
  ["has no memory left", ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "OOM"],
])("a Redis that %s goes on to be read, and gets what happened meanwhile", async (_, fault, remedy, code) => {
  const reader = await readWell();
  await redis.cli(...fault);
  const before = await head();
  await register(`${code}-amid`);
  const error = await until("the fault is told", async () => {
    const { body } = await send(registrar.url, { path: "/v1/status" });
    return body.publisher.namespaces[0]?.lastError;
  });
  expect(error).toContain(code);
  // Nothing of a commit that was refused is there: neither its snapshots nor its head.
  expect(await published()).not.toContain(`${code}-amid`);
  expect(await head()).toEqual(before);

  await redis.cli(...remedy);
  await untilRead(reader, `${code}-amid`);
  // Nobody else has written, so nothing had to be claimed.
  expect((await head()).epoch).toBe(before.epoch);
});
