import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CLUSTER_KEY, instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration, type Registration } from "../../contract/registration.ts";
import type { Etcd, Operation } from "../../registrar/etcd/port.ts";
import type { GuardShown } from "../../registrar/publisher/guard/desk.ts";
import { GUARD_DEFAULT } from "../../registrar/publisher/guard/limits.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import type { Registrar, RegistrarConfig } from "../../registrar/run.ts";
import { connect, entriesBelow, send, startRegistrar } from "../agent/registrar.ts";
import { bareEnvironment } from "../support/bare-environment.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { registration } from "../support/instance.ts";
import { sumSamples } from "../support/prometheus.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts, storedIn } from "./fixture.ts";

const execute = promisify(execFile);

let etcdServer: TestEtcd;
let redis: TestRedis;
let root: Etcd;
let store: SnapshotStore;
const ending: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  [etcdServer, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  root = connect(etcdServer, "root");
  store = createDirectStore({ url: redis.url, ...parts });
});

afterEach(async () => {
  await Promise.all(ending.splice(0).map((end) => end()));
  for (const { key } of await entriesBelow(root, "/fingerpost/")) {
    if (key !== CLUSTER_KEY) await root.transact([], [{ type: "delete", key }]);
  }
  await redis.cli("FLUSHALL");
});

afterAll(async () => {
  await root.close();
  await store.close();
  await Promise.all([etcdServer.close(), redis.close()]);
});

/** Instances of a service under a lease of their own, with its sentinel, as an agent writes them. */
async function register(service: string, ids: readonly string[], change: Partial<Registration> = {}, ttlSeconds = 60) {
  const { lease } = await root.grantLease(ttlSeconds);
  const keys = ids.map((id) => instanceKey({ namespace: "default", service, instance: id }));
  const sentinel = sentinelKey("an-agent", lease);
  await root.transact(
    [],
    [
      { type: "put", key: sentinel, value: JSON.stringify({ agent: "an-agent", ttlSeconds }), lease },
      ...ids.map((id, index): Operation => {
        const value = encodeRegistration(registration(id, change));
        return { type: "put", key: keys[index] ?? "", value, lease };
      }),
    ],
  );
  return { expire: () => root.revokeLease(lease), keys };
}

async function startPublisher(guard: RegistrarConfig["guard"] = {}): Promise<Registrar> {
  const config = { role: "publisher", redis: { type: "direct", url: redis.url }, guard } as const;
  const registrar = await startRegistrar(etcdServer, config);
  ending.push(() => registrar.close());
  await until("it is ready", async () => (await send(registrar.url, { path: "/readyz" })).status === 200);
  return registrar;
}

async function statuses(service: string): Promise<Record<string, string>> {
  const instances = (await storedIn(store).snapshot(service))?.instances ?? [];
  return Object.fromEntries(instances.map(({ id, status }) => [id, status]));
}

const all = (ids: readonly string[], status: string) => Object.fromEntries(ids.map((id) => [id, status]));
const many = (count: number) => Array.from({ length: count }, (_, index) => String(index + 1));

async function untilStatuses(service: string, wanted: Record<string, string>): Promise<void> {
  await until(`${service} is ${JSON.stringify(wanted).slice(0, 200)}`, async () => {
    const now = await statuses(service);
    return (
      Object.keys(now).length === Object.keys(wanted).length && Object.keys(now).every((id) => now[id] === wanted[id])
    );
  });
}

async function listening(): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  ending.push(async () => server.close());
  return (server.address() as AddressInfo).port;
}

/** Where nothing listens, and no other test will: nobody but root may. */
const REFUSING_PORT = 1;

describe("with a real etcd", () => {
  it("the end of a full lease empties nothing, and deregistering as many on purpose ends them at once", async () => {
    const ids = many(127);
    const web = await register("web", ids);
    const api = await register("api", ids);
    await startPublisher({ probeSeconds: 0 });
    await web.expire();
    await untilStatuses("web", all(ids, "suspect"));
    await root.transact(
      [],
      api.keys.map((key) => ({ type: "delete", key })),
    );
    await until("api has ended", async () => (await storedIn(store).snapshot("api"))?.tombstoneUntil);
    expect(await statuses("web")).toEqual(all(ids, "suspect"));
    await register("web", ids);
    await untilStatuses("web", all(ids, "up"));
  });

  it("a lease that nobody renews is told from a deregistration as well as one that is revoked", async () => {
    await register("web", ["1"], {}, 2);
    await startPublisher({ probeSeconds: 0 });
    await untilStatuses("web", { 1: "suspect" });
    expect(JSON.parse(await redis.cli("GET", "fp:{default}:s:web")).holds).toMatchObject([
      { id: "1", cause: "lease", agent: "an-agent", ttlSeconds: 2 },
    ]);
    expect(await entriesBelow(root, "/fingerpost/default/")).toEqual([]);
  });

  it("what is dead is let go by probes, also of a service's last, and what answers is held on to", async () => {
    const port = await listening();
    await register("live", ["1"], { port });
    const answers = await register("web", ["answers"], { port });
    const dead = await register("web", ["dead-1", "dead-2"], { port: REFUSING_PORT });
    const last = await register("last", ["1"], { port: REFUSING_PORT });
    await startPublisher({ probeSeconds: 0.2 });
    // In this order: the first one alone would be within the budget.
    for (const lease of [dead, answers, last]) await lease.expire();
    await untilStatuses("web", { answers: "suspect" });
    await untilStatuses("last", {});
    expect(await statuses("web")).toEqual({ answers: "suspect" });
  });

  it("nothing is let go by probes while nobody answers them", async () => {
    await register("live", ["1"], { port: REFUSING_PORT });
    const web = await register("web", ["1", "2"], { port: REFUSING_PORT });
    const registrar = await startPublisher({ probeSeconds: 0.1 });
    await web.expire();
    await untilStatuses("web", all(["1", "2"], "suspect"));
    const reasons = await until("they have been probed", async () => {
      const { body } = await send(registrar.url, { path: "/v1/guard" });
      const [hold] = (body as unknown as GuardShown).holds;
      return hold?.reasons.some((reason) => reason.includes("refused")) && hold.reasons;
    });
    expect(reasons.join(" ")).toContain("as do those of others");
    expect(await statuses("web")).toEqual(all(["1", "2"], "suspect"));
  });
});

describe("an operator", () => {
  const show = async (registrar: Registrar, path = "/v1/guard") => {
    const { status, body } = await send(registrar.url, { path });
    return { status, body: body as unknown as GuardShown & { readonly detail: string } };
  };

  it("sees what is held and why, page by page, in the status and in the metrics", async () => {
    const web = await register("web", ["1", "2", "3"]);
    const api = await register("api", ["1"]);
    const registrar = await startPublisher({ probeSeconds: 0, windowSeconds: 3600 });
    await Promise.all([web.expire(), api.expire()]);
    await untilStatuses("web", all(["1", "2", "3"], "suspect"));
    await untilStatuses("api", { 1: "suspect" });
    const { body } = await show(registrar);
    expect(body).toMatchObject({
      held: 4,
      namespaces: [{ namespace: "default", held: 4, departed: 4, departedMax: 10 }],
    });
    expect(body.holds.map(({ service, id }) => `${service}/${id}`)).toEqual(["api/1", "web/1", "web/2", "web/3"]);
    expect(body.holds[0]).toMatchObject({ namespace: "default", cause: "lease", agent: "an-agent" });
    expect(Date.parse(body.holds[0]?.until ?? "") - Date.parse(body.holds[0]?.since ?? "")).toBe(
      GUARD_DEFAULT.holdSeconds * 1000,
    );
    expect(body.holds[0]?.reasons.join(" ")).toContain("Its agent an-agent has not come back.");

    const first = (await show(registrar, "/v1/namespaces/default/guard?limit=3")).body;
    const second = (await show(registrar, `/v1/guard?limit=3&cursor=${first.next}`)).body;
    expect([...first.holds, ...second.holds]).toEqual(body.holds);
    expect(second.next).toBeUndefined();
    expect((await show(registrar, "/v1/guard?service=api")).body.holds).toHaveLength(1);
    expect((await show(registrar, "/v1/namespaces/other/guard")).body.holds).toEqual([]);
    expect((await show(registrar, "/v1/guard?limit=0&cursor=x&color=red&service=a%20b")).body).toMatchObject({
      errors: [{ parameter: "color" }, { parameter: "service" }, { parameter: "cursor" }, { parameter: "limit" }],
    });

    const { body: status } = await send(registrar.url, { path: "/v1/status" });
    expect(status).toMatchObject({ publisher: { namespaces: [{ namespace: "default", held: 4 }] } });
    const metrics = async (name: string, labels = {}) =>
      sumSamples((await send(registrar.url, { path: "/metrics" })).body.text, name, labels);
    expect(await metrics("fingerpost_guard_held")).toBe(4);
    expect(await metrics("fingerpost_guard_departures_total", { outcome: "held" })).toBe(4);
    await register("web", ["1"]);
    await untilStatuses("web", { ...all(["2", "3"], "suspect"), 1: "up" });
    expect(await metrics("fingerpost_guard_held")).toBe(3);
    expect(await metrics("fingerpost_guard_exits_total", { reason: "registered" })).toBe(1);
  });

  it("lets one service go, or all, and it is gone when that is answered", async () => {
    const leases = await Promise.all(["web", "api", "db"].map((service) => register(service, ["1"])));
    const registrar = await startPublisher({ probeSeconds: 0 });
    await Promise.all(leases.map(({ expire }) => expire()));
    for (const service of ["web", "api", "db"]) await untilStatuses(service, { 1: "suspect" });
    const release = (query = "") => send(registrar.url, { method: "POST", path: `/v1/guard/release${query}` });
    expect(await release("?service=typo")).toMatchObject({
      status: 404,
      body: { detail: 'Nothing is held of the service "typo" in the namespace "default".' },
    });
    expect((await release("?service=web&limit=1")).status).toBe(400);
    expect(await statuses("web")).toEqual({ 1: "suspect" });
    expect((await release("?service=web")).status).toBe(204);
    expect(await statuses("web")).toEqual({});
    expect(await statuses("api")).toEqual({ 1: "suspect" });
    expect((await release("?namespace=other")).status).toBe(204);
    expect(await statuses("api")).toEqual({ 1: "suspect" });
    expect((await release()).status).toBe(204);
    expect([await statuses("api"), await statuses("db")]).toEqual([{}, {}]);
    expect((await release()).status).toBe(204);
  });

  it("does the same from the command line", async () => {
    const web = await register("web", ["1", "2"]);
    const api = await register("api", ["1"]);
    const registrar = await startPublisher({ probeSeconds: 0 });
    await Promise.all([web.expire(), api.expire()]);
    await untilStatuses("web", all(["1", "2"], "suspect"));
    await untilStatuses("api", { 1: "suspect" });
    const fingerpost = async (...args: readonly string[]) => {
      const env = { ...bareEnvironment(), FINGERPOST_REGISTRAR_URL: registrar.url };
      const { stdout } = await execute(process.execPath, [join(PROJECT_DIR, "cli/main.ts"), "guard", ...args], { env });
      return stdout;
    };
    expect(await fingerpost()).toMatch(
      /^NAMESPACE +SERVICE +INSTANCE .*\ndefault +api +1 +lease .*\n.*web +1 .*\n.*web +2 /,
    );
    const lines = (await fingerpost("--json", "--namespace", "default")).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).service)).toEqual(["api", "web", "web"]);
    await expect(fingerpost("release", "typo")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Nothing is held of the service "typo"'),
    });
    await fingerpost("release", "web");
    expect([await statuses("web"), await statuses("api")]).toEqual([{}, { 1: "suspect" }]);
    await fingerpost("release", "--namespace", "default");
    expect(await statuses("api")).toEqual({});
  });

  it("who asks a registrar that stands by is told which one leads", async () => {
    await startPublisher();
    const leader = (await entriesBelow(root, "/fingerpost/_election/"))[0]?.value ?? "";
    const standby = await startPublisher();
    for (const [method, path] of [
      ["GET", "/v1/guard"],
      ["POST", "/v1/guard/release"],
    ]) {
      const reply = await send(standby.url, { method: method ?? "", path: path ?? "" });
      expect(reply).toMatchObject({ status: 409, body: { detail: expect.stringContaining(`"${leader}"`) } });
    }
    expect(leader).not.toBe("");
  });
});
