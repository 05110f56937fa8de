import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Etcd } from "../../registrar/etcd/port.ts";
import type { Registrar } from "../../registrar/run.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { connect, send, startRegistrar, type Call } from "./registrar.ts";

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
