import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import type { Registrar } from "../../registrar/run.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { sumSamples } from "../support/prometheus.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { connect, entriesBelow, send, startRegistrar, type Call, type Reply } from "./registrar.ts";

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

describe("input that breaks a rule is answered 400, with the place and the rule, and nothing is written:", () => {
  const path = "/v1/services/web/instances/bad-1";
  const long = "x".repeat(129);
  const cases: readonly [what: string, call: Call, place: string, rule: string][] = [
    ["a port of 0", { path, body: { ...valid, port: 0 } }, "/port", "must be 1 to 65535"],
    ["a port over 65535", { path, body: { ...valid, port: 65_536 } }, "/port", "must be 1 to 65535"],
    ["a port as text", { path, body: { ...valid, port: "80" } }, "/port", "must be a number"],
    ["no address", { path, body: { port: 80 } }, "/address", "is required"],
    ["an unknown field", { path, body: { ...valid, color: "red" } }, "/color", "is not a known field"],
    ["a check and a TTL", { path, body: { ...valid, check: { type: "tcp" } } }, "/check", "must not stand beside"],
    ["a check of no type", { path, body: checked({}) }, "/check/type", "must be http, tcp or grpc"],
    ["a path that is none", { path, body: checked({ type: "http", path: "x" }) }, "/check/path", "must start with /"],
    [
      "a check of an address where nothing of ours connects",
      { path, body: { ...checked({ type: "tcp" }), address: "169.254.169.254" } },
      "/address",
      "must not be link-local",
    ],
    ["a TTL of 0", { path, body: { ...valid, ttlSeconds: 0 } }, "/ttlSeconds", "must be 1 to 3600"],
    ["a TTL over an hour", { path, body: { ...valid, ttlSeconds: 3601 } }, "/ttlSeconds", "must be 1 to 3600"],
    ["an id that is not the path's", { path, body: { ...valid, id: "other" } }, "/id", 'must be "bad-1"'],
    ["a value over 4 KiB", { path, body: { ...valid, metadata: big(3) } }, "", "must be at most 4096 bytes"],
    ["a body over 16 KiB", { path, body: { ...valid, metadata: big(9) } }, "", "must be at most 16384 bytes"],
    ["a body that is not JSON", { path, raw: "{" }, "", "must be JSON"],
    ["an empty body", { path, raw: "" }, "", "must be JSON"],
    ["a body that is an array", { path, body: [] }, "", "must be an object"],
    ["a service name outside the pattern", { path: "/v1/services/_web/instances/a", body: valid }, "service", "must"],
    ["a name with a slash", { path: "/v1/services/a%2Fb/instances/a", body: valid }, "service", "must be 1 to 128"],
    ["a name that is not UTF-8", { path: "/v1/services/%ff/instances/a", body: valid }, "service", "must be 1 to"],
    ["an id that is too long", { path: `/v1/services/web/instances/${long}`, body: valid }, "instance", "must be 1"],
    [
      "one of our own keys as a namespace",
      { path: "/v1/namespaces/_agents/services/web/instances/a", body: valid },
      "namespace",
      "must be 1 to 128",
    ],
    ["a heartbeat with a body", { method: "POST", path: `${path}/heartbeat`, body: { a: 1 } }, "/a", "is not a known"],
    ["a drain with a body", { method: "POST", path: `${path}/drain`, body: { seconds: 1 } }, "/seconds", "is not a"],
    ["a PUT with a query", { path: `${path}?ttl=5`, body: valid }, "ttl", "is not a known parameter"],
    ["a PUT with an odd query", { path: `${path}?__proto__=1`, body: valid }, "__proto__", "is not a known parameter"],
    ["a DELETE with a query", { method: "DELETE", path: `${path}?drain=true` }, "drain", "is not a known parameter"],
    ["a heartbeat with a query", { method: "POST", path: `${path}/heartbeat?ttl=5` }, "ttl", "is not a known"],
    ["a drain with a query", { method: "POST", path: `${path}/drain?seconds=5` }, "seconds", "is not a known"],
    ["a list of a bad service", { method: "GET", path: "/v1/instances?service=_" }, "service", "must be 1 to 128"],
    ["a list with an unknown filter", { method: "GET", path: "/v1/instances?tag=a" }, "tag", "is not a known"],
    ["a list with an odd filter", { method: "GET", path: "/v1/instances?__proto__=a" }, "__proto__", "is not a known"],
    ["a list with a repeated limit", { method: "GET", path: "/v1/instances?limit=1&limit=1" }, "limit", "must not"],
    ["a list with a limit of 0", { method: "GET", path: "/v1/instances?limit=0" }, "limit", "must be 1 to 1000"],
    ["a list with a bad cursor", { method: "GET", path: "/v1/instances?cursor=x" }, "cursor", "must be the next"],
  ];

  it.each(cases)("%s", async (_what, call, place, rule) => {
    const before = await root.get("/fingerpost/none");
    const { status, headers, body } = await send(registrar.url, { method: "PUT", ...call });
    expect(status).toBe(400);
    expect(headers.get("content-type")).toBe("application/problem+json");
    const [violation] = body.errors;
    expect(violation?.pointer ?? violation?.parameter).toBe(place);
    expect(violation?.detail).toContain(rule);
    const after = await root.get("/fingerpost/none");
    expect(after.revision).toBe(before.revision);
  });

  it("a body that is not UTF-8, wherever the bytes are", async () => {
    const [start = "", end = ""] = JSON.stringify({ ...valid, metadata: { k: "?" } }).split("?");
    const body = Buffer.concat([Buffer.from(start), Buffer.from([0xff, 0xfe, 0xc3]), Buffer.from(end)]);
    const before = await root.get("/fingerpost/none");
    const headers = { "content-type": "application/json" };
    const response = await fetch(registrar.url + path, { method: "PUT", headers, body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ pointer: "", detail: "must be UTF-8" }] });
    expect((await root.get("/fingerpost/none")).revision).toBe(before.revision);
  });

  it("every broken rule is reported at once", async () => {
    const { body } = await put(path, { address: "a b", port: 0, extra: 1 });
    expect(body.errors).toHaveLength(3);
  });

  function checked(check: unknown): Record<string, unknown> {
    return { address: valid.address, port: valid.port, check };
  }

  function big(entries: number): Record<string, string> {
    return Object.fromEntries(Array.from({ length: entries }, (_, index) => [`k${index}`, "x".repeat(2000)]));
  }
});

describe("requests that are not of the API", () => {
  it("of another content type are answered 415", async () => {
    const headers = { "content-type": "text/plain" };
    const call = { method: "PUT", path: "/v1/services/web/instances/a", raw: JSON.stringify(valid), headers };
    expect((await send(registrar.url, call)).status).toBe(415);
  });

  it("to an unknown path are answered 404, of another method 405 with the ones there are", async () => {
    const unknown = await send(registrar.url, { path: "/v1/nothing" });
    expect(unknown).toMatchObject({ status: 404, body: { code: "not_found", status: 404 } });
    const instance = "/v1/services/web/instances/a";
    for (const [method, path, allow] of [
      ["GET", instance, "PUT, DELETE"],
      ["GET", `${instance}/heartbeat`, "POST"],
      ["PUT", `${instance}/drain`, "POST"],
      ["POST", "/v1/instances", "GET, HEAD"],
      ["DELETE", "/v1/status", "GET, HEAD"],
      ["POST", "/readyz", "GET, HEAD"],
    ] as const) {
      const refused = await send(registrar.url, { method, path });
      expect(refused).toMatchObject({ status: 405, body: { code: "method_not_allowed" } });
      expect(refused.headers.get("allow")).toBe(allow);
    }
  });

  it("from a web page, or for another host, are refused", async () => {
    const path = "/v1/services/web/instances/a";
    const headers = { origin: "https://example.com" };
    expect((await send(registrar.url, { method: "DELETE", path, headers })).status).toBe(403);
    const status = await new Promise((resolve, reject) => {
      const rebound = httpRequest(`${registrar.url}/v1/instances`, { headers: { host: "example.com" } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      rebound.on("error", reject).end();
    });
    expect(status).toBe(421);
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
