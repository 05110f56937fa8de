import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { decodeHead } from "../../contract/head.ts";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { decodeSnapshot } from "../../contract/snapshot.ts";
import type { Registrar, RegistrarConfig } from "../../registrar/run.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { sumSamples } from "../support/prometheus.ts";
import { startProxy } from "../support/proxy.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { send, startRegistrar } from "./registrar.ts";

const valid = { address: "10.0.0.1", port: 8080, ttlSeconds: 60 };

let etcd: TestEtcd;
let redis: TestRedis;

beforeAll(async () => {
  [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
});
afterAll(async () => {
  await Promise.all([etcd.close(), redis.close()]);
});

async function start(config: Partial<RegistrarConfig>, signal?: AbortSignal): Promise<Registrar> {
  const registrar = await startRegistrar(etcd, { redis: { type: "direct", url: redis.url }, ...config }, signal);
  onTestFinished(() => registrar.close());
  return registrar;
}

const isReady = async ({ url }: Registrar) => (await send(url, { path: "/readyz" })).status === 200;
const published = async (service: string) =>
  decodeSnapshot(await redis.cli("GET", serviceKey("default", service)), "default", service);

it("a registrar with both roles is ready once the catalog is complete and published, and not before", async () => {
  const proxy = await startProxy(redis.port);
  onTestFinished(() => proxy.close());
  await proxy.refuse(true);
  const url = redis.url.replace(/:\d+$/, `:${proxy.port}`);
  const registrar = await start({ role: "both", redis: { type: "direct", url } });
  const path = "/v1/services/web/instances/a";
  await until("etcd takes a write while Redis is away", async () => {
    const { status } = await send(registrar.url, { method: "PUT", path, body: valid });
    return status === 201 || status === 200;
  });
  const { status, body } = await send(registrar.url, { path: "/readyz" });
  expect(status).toBe(503);
  expect(body.detail).toMatch(/^Not ready\. \w/);
  await proxy.refuse(false);
  await until("it is ready", () => isReady(registrar));
  expect(decodeHead(await redis.cli("GET", headKey("default")), "default").complete).toBe(true);
  // What was written while the fill was under way follows it by the watch.
  const { instances } = await until("what was written meanwhile is published", () => published("web"));
  expect(instances).toMatchObject([{ id: "a", status: "up" }]);
});

it("what is registered is published, and counted: publishes, their lag, and who leads", async () => {
  const registrar = await start({ role: "both" });
  await until("it is ready", () => isReady(registrar));
  await send(registrar.url, { method: "PUT", path: "/v1/services/counted/instances/a", body: valid });
  await until("it is published", async () => (await published("counted")).instances.length === 1);
  const text = await until("it is counted", async () => {
    const { body } = await send(registrar.url, { path: "/metrics" });
    return sumSamples(body.text, "fingerpost_publishes_total", {}) >= 1 && body.text;
  });
  expect(sumSamples(text, "fingerpost_leader", {})).toBe(1);
  expect(sumSamples(text, "fingerpost_publish_lag_seconds_count", {})).toBeGreaterThanOrEqual(1);
  expect(sumSamples(text, "fingerpost_publish_lag_seconds_sum", {})).toBeLessThan(10);
  // The agent's lease and the leader's, on one stream.
  expect(sumSamples(text, "fingerpost_leases", {})).toBe(2);
  expect(sumSamples(text, "fingerpost_lease_streams", {})).toBeLessThanOrEqual(1);
  const { body } = await send(registrar.url, { path: "/v1/status" });
  expect(body).toMatchObject({ role: "both", ready: true, notReady: [], publisher: { role: "leader" } });
  expect(JSON.stringify(body)).not.toContain(new URL(redis.url).password);
});

it("one that leaves has its departures published before it ends", async () => {
  const registrar = await start({ role: "both", leave: true });
  await until("it is ready", () => isReady(registrar));
  const services = Array.from({ length: 60 }, (_, index) => `leaving-${index}`);
  // Enough of them that the last events are still on their way when etcd has answered the last departure.
  for (const service of services) {
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        send(registrar.url, { method: "PUT", path: `/v1/services/${service}/instances/i${index}`, body: valid }),
      ),
    );
  }
  await until("all are published", async () => (await published(services.at(-1) ?? "")).instances.length === 20);
  await registrar.close();
  const left = await Promise.all(services.map(async (service) => (await published(service)).instances.length));
  expect(left).toEqual(services.map(() => 0));
});

it("a registrar whose etcd goes away stays ready, and tells since when etcd has not answered", async () => {
  const line = await startProxy(etcd.port);
  onTestFinished(() => line.close());
  const endpoints = [`http://127.0.0.1:${line.port}`];
  const registrar = await start({ role: "agent", etcd: { endpoints, ...etcd.user } });
  await until("it is ready", () => isReady(registrar));
  const etcdStatus = async () => (await send(registrar.url, { path: "/v1/status" })).body.etcd;
  expect(await etcdStatus()).not.toHaveProperty("unansweredSince");

  const cutAtMs = Date.now();
  await line.refuse(true);
  line.reset();
  const path = "/v1/services/unanswered/instances/a";
  const refused = await send(registrar.url, { method: "PUT", path, body: valid });
  const failedAtMs = Date.now();
  expect(refused.status).toBe(503);
  await send(registrar.url, { method: "PUT", path, body: valid });
  const since = Date.parse((await etcdStatus()).unansweredSince ?? "");
  expect(since).toBeGreaterThanOrEqual(cutAtMs);
  expect(since).toBeLessThanOrEqual(failedAtMs);
  // What a restart, or a place out of a balancer's list, would not mend is no reason to ask for one.
  expect(await isReady(registrar)).toBe(true);

  await line.refuse(false);
  await until("etcd answers again", async () => {
    return (await send(registrar.url, { method: "PUT", path, body: valid })).status < 300;
  });
  expect(await etcdStatus()).not.toHaveProperty("unansweredSince");
});

it("a publisher takes no registrations", async () => {
  const registrar = await start({ role: "publisher" });
  await until("it is ready", () => isReady(registrar));
  const refused = await send(registrar.url, { method: "PUT", path: "/v1/services/web/instances/b", body: valid });
  expect(refused.status).toBe(404);
  expect((await send(registrar.url, { path: "/v1/status" })).body).not.toHaveProperty("agent");
});

it("a registrar that was told to end says at once that it is not ready", async () => {
  const shutdown = new AbortController();
  const registrar = await start({ role: "agent" }, shutdown.signal);
  await until("it is ready", () => isReady(registrar));
  shutdown.abort();
  const { status, body } = await send(registrar.url, { path: "/readyz" });
  expect(status).toBe(503);
  expect(body.detail).toBe("Not ready. Shutting down.");
});

it("a publisher without a Redis to publish to does not start", async () => {
  await expect(startRegistrar(etcd, { role: "publisher" })).rejects.toMatchObject({ code: "invalid_argument" });
});
