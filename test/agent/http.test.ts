import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import type { Registrar } from "../../registrar/run.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { sumSamples } from "../support/prometheus.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { connect, entriesBelow, send, startRegistrar, type Reply } from "./registrar.ts";

const TOKEN = "a-token-of-the-tests";
const valid = { address: "10.0.0.1", port: 8080, ttlSeconds: 60 };

let server: TestEtcd;
let root: Etcd;
let registrar: Registrar;
const put = (path: string, body: unknown = valid) => send(registrar.url, { method: "PUT", path, body });

beforeAll(async () => {
  server = await startTestEtcd();
  root = connect(server, "root");
  registrar = await startRegistrar(server);
});
afterAll(async () => {
  await registrar.close();
  await root.close();
  await server.close();
});

describe("PUT of an instance", () => {
  it("answers 201 with the whole registration once etcd has it, and 200 when it was there", async () => {
    const path = "/v1/services/web/instances/put-1";
    const created = await put(path, { ...valid, tags: ["a"], metadata: { k: "v" } });
    expect(created.status).toBe(201);
    expect(created.body).toEqual({
      namespace: "default",
      service: "web",
      liveness: { type: "heartbeat", ttlSeconds: 60 },
      source: "api",
      instance: {
        id: "put-1",
        address: "10.0.0.1",
        port: 8080,
        protocol: "http",
        weight: 100,
        tags: ["a"],
        metadata: { k: "v" },
        status: "up",
        registeredAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    });
    const key = instanceKey({ namespace: "default", service: "web", instance: "put-1" });
    const { entry } = await root.get(key);
    expect(JSON.parse(entry?.value ?? "")).toEqual(created.body.instance);

    const again = await put(path, { ...valid, id: "put-1", tags: ["a"], metadata: { k: "v" } });
    expect(again.status).toBe(200);
    expect(again.body).toEqual(created.body);
    expect((await root.get(key)).entry?.modRevision).toBe(entry?.modRevision);
  });

  it("in another namespace is written there", async () => {
    await put("/v1/namespaces/staging/services/web/instances/n-1");
    const { entry } = await root.get(instanceKey({ namespace: "staging", service: "web", instance: "n-1" }));
    expect(entry).toBeDefined();
  });

  it("64 at once, of one instance and of 64, are all answered, and etcd has the last of each", async () => {
    const same = await Promise.all(
      Array.from({ length: 64 }, (_, index) => put("/v1/services/same/instances/one", { ...valid, weight: index })),
    );
    expect(same.map(({ status }) => status).filter((status) => status === 201)).toHaveLength(1);
    expect(same.every(({ status }) => status === 201 || status === 200)).toBe(true);
    const different = await Promise.all(
      Array.from({ length: 64 }, (_, index) => put(`/v1/services/many/instances/i-${index}`)),
    );
    expect(new Set(different.map(({ status }) => status))).toEqual(new Set([201]));
    expect(await entriesBelow(root, "/fingerpost/default/many/")).toHaveLength(64);
    const [listed] = (await send(registrar.url, { path: "/v1/instances?service=same" })).body.instances;
    const [stored] = await entriesBelow(root, "/fingerpost/default/same/");
    expect(JSON.parse(stored?.value ?? "")).toEqual(listed?.instance);
  });
});

describe("the life of an instance", () => {
  const path = "/v1/services/life/instances/a";
  const post = (what: string) => send(registrar.url, { method: "POST", path: `${path}/${what}` });
  const stored = async () => {
    const { entry } = await root.get(instanceKey({ namespace: "default", service: "life", instance: "a" }));
    return entry && (JSON.parse(entry.value) as unknown);
  };

  it("is registered, kept, drained and deleted, each answered once etcd has it", async () => {
    expect((await post("heartbeat")).status).toBe(404);
    expect((await post("drain")).status).toBe(404);
    expect((await put(path)).status).toBe(201);
    expect((await post("heartbeat")).status).toBe(204);
    expect((await send(registrar.url, { method: "POST", path: `${path}/heartbeat`, body: {} })).status).toBe(204);
    expect((await post("drain")).status).toBe(204);
    expect(await stored()).toMatchObject({ status: "draining" });
    expect((await send(registrar.url, { method: "DELETE", path })).status).toBe(204);
    expect(await stored()).toBeUndefined();
    expect((await send(registrar.url, { method: "DELETE", path })).status).toBe(204);
    expect((await post("heartbeat")).status).toBe(404);
  });
});

describe("GET /v1/instances", () => {
  it("lists one namespace in pages, ordered, and one service when asked", async () => {
    const base = "/v1/namespaces/listed";
    for (const name of ["b/2", "a/1", "b/1", "c/1", "b.x/1"]) {
      const [service, instance] = name.split("/");
      await put(`${base}/services/${service}/instances/${instance}`);
    }
    const names: string[] = [];
    let next: string | undefined;
    let pages = 0;
    do {
      const query = new URLSearchParams({ limit: "2", ...(next === undefined ? {} : { cursor: next }) });
      const { body } = await send(registrar.url, { path: `${base}/instances?${query}` });
      expect(body.namespace).toBe("listed");
      for (const { service, instance } of body.instances) names.push(`${service}/${instance.id}`);
      next = body.next;
      pages += 1;
    } while (next !== undefined);
    expect(pages).toBe(3);
    expect(new Set(names)).toEqual(new Set(["a/1", "b/1", "b/2", "b.x/1", "c/1"]));
    expect(names).toHaveLength(5);
    const { body } = await send(registrar.url, { path: `${base}/instances?service=b` });
    expect(body.instances.map(({ instance }) => instance.id)).toEqual(["1", "2"]);
  });
});

describe("a registrar with a token", () => {
  it("answers 401 without the right one, tells nothing, and writes nothing; its probes stay open", async () => {
    const guarded = await startRegistrar(server, { token: TOKEN });
    try {
      const before = await root.get("/fingerpost/none");
      for (const path of ["/v1/instances", "/v1/status", "/metrics", "/v1/nothing"]) {
        for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: `Basic ${TOKEN}` }]) {
          const refused = await send(guarded.url, { path, headers });
          expect(refused.status).toBe(401);
          expect(refused.headers.get("www-authenticate")).toContain("Bearer");
          expect(JSON.stringify(refused.body)).not.toContain("fingerpost_");
        }
      }
      const path = "/v1/services/web/instances/a";
      expect((await send(guarded.url, { method: "PUT", path, body: valid })).status).toBe(401);
      expect((await root.get("/fingerpost/none")).revision).toBe(before.revision);
      const headers = { authorization: `Bearer ${TOKEN}` };
      expect((await send(guarded.url, { method: "PUT", path, body: valid, headers })).status).toBe(201);
      expect((await send(guarded.url, { path: "/metrics", headers })).status).toBe(200);
      expect((await send(guarded.url, { path: "/healthz" })).status).toBe(200);
      await until("it is ready", async () => (await send(guarded.url, { path: "/readyz" })).status === 200);
    } finally {
      await guarded.close();
    }
  });

  it("is the only kind that listens where others can reach it", async () => {
    const listen = { host: "0.0.0.0", port: 0 };
    await expect(startRegistrar(server, { listen })).rejects.toMatchObject({ code: "invalid_argument" });
    const reachable = await startRegistrar(server, { listen, token: TOKEN });
    await reachable.close();
  });
});

describe("a registrar that starts before etcd", () => {
  it("says that it is not ready, refuses writes in time, and is ready with nobody's help once etcd answers", async () => {
    const proxy = await startProxy(server.port);
    await proxy.refuse(true);
    const endpoints = [`http://127.0.0.1:${proxy.port}`];
    const early = await startRegistrar(server, { etcd: { endpoints, ...server.user } });
    try {
      const notReady = await send(early.url, { path: "/readyz" });
      expect(notReady).toMatchObject({ status: 503, body: { code: "unavailable" } });
      expect(notReady.body.detail).toContain("etcd");
      expect((await send(early.url, { path: "/healthz" })).status).toBe(200);
      const path = "/v1/services/early/instances/a";
      const refused = await send(early.url, { method: "PUT", path, body: valid });
      expect(refused).toMatchObject({ status: 503, body: { code: "unavailable" } });
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      await proxy.refuse(false);
      await until("it is ready", async () => (await send(early.url, { path: "/readyz" })).status === 200);
      expect((await send(early.url, { method: "PUT", path, body: valid })).status).toBe(201);
    } finally {
      await early.close();
      await proxy.close();
    }
  });
});

describe("GET /metrics and /v1/status", () => {
  it("count what the registrar does, as etcd counts it", async () => {
    const authentications = () => server.counter("grpc_server_started_total", { grpc_method: "Authenticate" });
    const before = await authentications();
    // An audit is a transaction too, one a lease and TTL: the first comes long after these are counted.
    // With an etcd that takes its time, they come together however slow the machine is.
    const proxy = await startProxy(server.port);
    proxy.latencyMs(100);
    const endpoints = [`http://127.0.0.1:${proxy.port}`];
    const counted = await startRegistrar(server, { leaseTtlSeconds: 12, etcd: { endpoints, ...server.user } });
    try {
      const paths = Array.from({ length: 130 }, (_, index) => `/v1/services/counted/instances/i-${index}`);
      await Promise.all(paths.map((path) => send(counted.url, { method: "PUT", path, body: valid })));
      const registered = (await send(counted.url, { path: "/metrics" })).body.text;
      const sent = sumSamples(registered, "fingerpost_etcd_requests_total", { method: "Txn", code: "ok" });
      // Two sentinels, and registrations that came together in one.
      expect(sent).toBeGreaterThan(2);
      expect(sent).toBeLessThan(130);
      const metrics = await until("both leases were renewed", async () => {
        const { body } = await send(counted.url, { path: "/metrics" });
        return sumSamples(body.text, "fingerpost_lease_renewals_total", {}) >= 2 && body.text;
      });
      const value = (name: string, labels = {}) => sumSamples(metrics, `fingerpost_${name}`, labels);
      expect(value("registrations")).toBe(130);
      expect(value("leases")).toBe(2);
      expect(value("lease_streams")).toBe(1);
      expect(value("etcd_authentications_total")).toBe((await authentications()) - before);
      expect(value("etcd_requests_total", { method: "LeaseGrant", code: "ok" })).toBe(2);
      expect(value("watch_restarts_total")).toBe(0);
      expect(value("publishes_total")).toBe(0);
      expect(value("leader")).toBe(0);
      expect(metrics).toContain("fingerpost_publish_lag_seconds_bucket");
      const { body } = await send(counted.url, { path: "/v1/status" });
      expect(body).toMatchObject({ role: "agent", ready: true, leaseStreams: 1, leases: 2 });
      expect(body).toMatchObject({ etcd: { circuit: { type: "closed" } } });
      expect(body.agent).toMatchObject({ instances: 130, leases: 2, recovering: 0 });
      expect(JSON.stringify(body)).not.toContain(server.user.password);
    } finally {
      await counted.close();
      await proxy.close();
    }
  });
});

it("callers are told at once, and when to come back, while etcd fails call after call; the status says so", async () => {
  const proxy = await startProxy(server.port);
  const cutOff = await startRegistrar(server, {
    etcd: { endpoints: [`http://127.0.0.1:${proxy.port}`], ...server.user },
  });
  const register = (id: number) =>
    send(cutOff.url, { method: "PUT", path: `/v1/services/web/instances/cut-off-${id}`, body: valid });
  const circuitOpen = async () =>
    sumSamples((await send(cutOff.url, { path: "/metrics" })).body.text, "fingerpost_etcd_circuit_open", {});
  try {
    await until("etcd is reached", async () => (await register(0)).status === 201);
    expect(await circuitOpen()).toBe(0);
    await proxy.refuse(true);
    proxy.reset();
    const replies: Reply[] = [];
    await until("the circuit is open", async () => {
      replies.push(await register(replies.length + 1));
      return (await circuitOpen()) === 1;
    });
    expect(replies.length).toBeGreaterThanOrEqual(3);
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([503]));
    const retryAfter = replies.map(({ headers }) => Number(headers.get("retry-after")));
    expect(Math.min(...retryAfter)).toBeGreaterThan(0);
    expect(Math.max(...retryAfter)).toBeLessThanOrEqual(4);
    const { body } = await send(cutOff.url, { path: "/v1/status" });
    expect(JSON.stringify(body)).toMatch(/"circuit":\{"type":"(open|probing)"/);
    await proxy.refuse(false);
    await until("calls go through again", async () => (await register(1)).status === 201);
    expect(await circuitOpen()).toBe(0);
  } finally {
    await cutOff.close();
    await proxy.close();
  }
});

it("a port that is taken is a conflict, and nothing is left running", async () => {
  const port = Number(new URL(registrar.url).port);
  const taken = startRegistrar(server, { listen: { host: "127.0.0.1", port } });
  await expect(taken).rejects.toMatchObject({ code: "conflict" });
});
