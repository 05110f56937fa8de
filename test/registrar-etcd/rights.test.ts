import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeHead } from "../../contract/head.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { applySetup } from "../../registrar/etcd/setup/apply.ts";
import { createAuthAdmin } from "../../registrar/etcd/setup/auth-admin.ts";
import { rightsOf, type RegistrarRole } from "../../registrar/etcd/setup/rights.ts";
import { createRegistrar } from "../../registrar/index.ts";
import type { Registrar, RegistrarConfig } from "../../registrar/run.ts";
import { entriesBelow, send, startRegistrar } from "../agent/registrar.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { sumSamples } from "../support/prometheus.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { connect, parts, put } from "./fixture.ts";

// Nothing here knows the version of the etcd: newer ones also check every key of a lease at each renewal.
const ROLES = ["agent", "publisher", "both"] as const;
const PASSWORD = "of-a-user-of-this-test";
const valid = { address: "10.0.0.1", port: 8080, ttlSeconds: 60 };

let etcd: TestEtcd;
let redis: TestRedis;

const userOf = (role: RegistrarRole) => ({ username: `only-${role}`, password: PASSWORD });

beforeAll(async () => {
  [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  const admin = createAuthAdmin({ endpoints: [etcd.endpoint], credentials: etcd.root, clock: parts.clock });
  for (const role of ROLES) {
    const { username } = userOf(role);
    const rights = rightsOf(role, ["default"]);
    const plan = { role: username, rights, user: username, login: "password", enableAuth: false } as const;
    const secrets = { newPassword: () => PASSWORD, password: PASSWORD, rootPassword: undefined };
    await applySetup(admin, plan, secrets, () => {});
  }
  admin.close();
});
afterAll(async () => {
  await Promise.all([etcd.close(), redis.close()]);
});

async function start(
  role: RegistrarRole,
  whenFinished: (end: () => Promise<void>) => void,
  config: Partial<RegistrarConfig> = {},
): Promise<Registrar> {
  const registrar = await startRegistrar(etcd, {
    etcd: { endpoints: [etcd.endpoint], ...userOf(role) },
    redis: { type: "direct", url: redis.url },
    role,
    ...config,
  });
  whenFinished(() => registrar.close());
  await until("it is ready", async () => (await send(registrar.url, { path: "/readyz" })).status === 200);
  return registrar;
}

async function counted({ url }: Registrar, name: string, labels = {}): Promise<number> {
  return sumSamples((await send(url, { path: "/metrics" })).body.text, name, labels);
}

// Those of both roles are what the other tests' registrars have.
describe.concurrent("a whole life", () => {
  it("of instances passes with the rights of an agent: renewals, a lost lease, the way out", async ({
    onTestFinished,
  }) => {
    const root = connect(etcd.endpoint, etcd.root);
    onTestFinished(() => root.close());
    const registrar = await start("agent", onTestFinished, { leave: true });
    const path = "/v1/services/web/instances/a";
    const key = "/fingerpost/default/web/a";
    expect((await send(registrar.url, { method: "PUT", path, body: valid })).status).toBe(201);
    expect((await send(registrar.url, { method: "POST", path: `${path}/heartbeat` })).status).toBe(204);
    await until(
      "each lease is renewed",
      async () => (await counted(registrar, "fingerpost_lease_renewals_total")) >= 3,
    );
    const { entry } = await root.get(key);
    await root.revokeLease(entry?.lease ?? "");
    await until("it is registered again", async () => {
      const { entry: again } = await root.get(key);
      return again && again.lease !== entry?.lease;
    });
    expect((await send(registrar.url, { method: "PUT", path, body: { ...valid, port: 1 } })).status).toBe(200);
    expect(await counted(registrar, "fingerpost_etcd_requests_total", { code: "permission_denied" })).toBe(0);
    await registrar.close();
    expect(await entriesBelow(root, "/fingerpost/default/")).toEqual([]);
  });

  it("of leaders passes with the rights of a publisher: one follows the other, and both write heads", async ({
    onTestFinished,
  }) => {
    const first = await start("publisher", onTestFinished);
    const second = await start("publisher", onTestFinished);
    const heads = async () => decodeHead(await redis.cli("GET", headKey("default")), "default");
    const { epoch } = await heads();
    const { confirmedAt } = await until("a heartbeat comes back through the watch", heads);
    await until("the next one", async () => (await heads()).confirmedAt > confirmedAt);
    await first.close();
    await until("the second leads", async () => (await heads()).epoch > epoch);
    expect(await counted(second, "fingerpost_etcd_requests_total", { code: "permission_denied" })).toBe(0);
  });
});

describe("is denied", () => {
  it.each([
    ["agent", "/fingerpost/_publisher"],
    ["agent", "/fingerpost/_cluster"],
    ["agent", "/fingerpost/_election/publisher"],
    ["agent", "/fingerpost/other/web/a"],
    ["agent", "/elsewhere"],
    ["publisher", "/fingerpost/default/web/a"],
    ["publisher", "/fingerpost/_agents/x/1"],
    ["publisher", "/fingerpost/_publisher/more"],
    ["publisher", "/elsewhere"],
    ["both", "/fingerpost/other/web/a"],
    ["both", "/elsewhere"],
  ] as const)("with the rights of %s, to write %s", async (role, key) => {
    const client = connect(etcd.endpoint, userOf(role));
    try {
      await expect(client.transact([], [put(key)])).rejects.toMatchObject({ code: "permission_denied" });
    } finally {
      await client.close();
    }
  });

  it.each([
    ["agent", "/fingerpost/"],
    ["agent", "/fingerpost/other/"],
    ["publisher", "/"],
    ["both", "/elsewhere/"],
  ] as const)("with the rights of %s, to read below %s", async (role, prefix) => {
    const client = connect(etcd.endpoint, userOf(role));
    try {
      await expect(entriesBelow(client, prefix)).rejects.toMatchObject({ code: "permission_denied" });
    } finally {
      await client.close();
    }
  });

  it("with every namespace allowed, to write our own keys", async () => {
    const all = rightsOf("agent", "all");
    const covers = (key: string) => all.some((right) => right.key <= key && key < (right.end ?? `${right.key}\0`));
    for (const namespace of ["0", "9z", "A", "Zz", "a", "z", "default"]) {
      expect(covers(`/fingerpost/${namespace}/web/a`)).toBe(true);
    }
    for (const key of ["_publisher", "_cluster", "_election/publisher", "", "-", "~"]) {
      expect(covers(`/fingerpost/${key}`)).toBe(false);
    }
  });
});

it("who registers where the role lacks a right is told which, and what grants it", async ({ onTestFinished }) => {
  const registrar = await start("agent", onTestFinished);
  const path = "/v1/namespaces/other/services/web/instances/a";
  const { status, body } = await send(registrar.url, { method: "PUT", path, body: valid });
  expect(status).toBe(503);
  expect(body.detail).toContain("READWRITE on /fingerpost/other/");
  expect(body.detail).toContain("fingerpost etcd-setup");
});

it("a library whose role does not allow a namespace gives up at once, and says what it lacks", async ({
  onTestFinished,
}) => {
  const registrar = createRegistrar({
    etcd: { endpoints: [etcd.endpoint], ...userOf("agent") },
    namespace: "not-of-this-role",
    timeoutMs: 3_600_000,
  });
  onTestFinished(() => registrar.close());
  await expect(registrar.register("never", { address: "10.0.0.1", port: 8080 })).rejects.toMatchObject({
    code: "permission_denied",
    message: expect.stringContaining("READWRITE on /fingerpost/not-of-this-role/") as string,
  });
});
