import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from "vitest";
import { createLeaseKeeper, type LeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { systemClock } from "../../kernel/clock.ts";
import { applySetup } from "../../registrar/etcd/setup/apply.ts";
import { createAuthAdmin } from "../../registrar/etcd/setup/auth-admin.ts";
import { rightsOf } from "../../registrar/etcd/setup/rights.ts";
import { connect, parts, revokeRight } from "./fixture.ts";

const LEASES = 500;
const TTL_SECONDS = 4;
const started = (method: string) => ["grpc_server_started_total", { grpc_method: method }] as const;

let server: Awaited<ReturnType<typeof startTestEtcd>>;
let etcd: Etcd;
let keeper: LeaseKeeper;
let renewals: number;
let lost: string[];

beforeAll(async () => {
  server = await startTestEtcd();
});
afterAll(() => server?.close());

beforeEach(() => {
  renewals = 0;
  lost = [];
  etcd = connect(server.endpoint, server.user);
  keeper = createLeaseKeeper({ etcd, ...parts, onRenewal: () => renewals++ });
});
afterEach(async () => {
  await keeper.close();
  await etcd.close();
});

const keyOf = (index: number) => `/fingerpost/default/leases/${index}`;

/** Leases with one key each. */
async function keepLeases(count: number): Promise<string[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { lease, ttlSeconds } = await etcd.grantLease(TTL_SECONDS);
      await etcd.transact([], [{ type: "put", key: keyOf(index), value: "here", lease }]);
      keeper.add(lease, ttlSeconds, (reason) => lost.push(`${lease} ${reason}`));
      return lease;
    }),
  );
}

async function keysThere(): Promise<number> {
  let count = 0;
  for await (const page of etcd.list("/fingerpost/default/leases/", new AbortController().signal)) {
    count += page.entries.length;
  }
  return count;
}

test("500 leases outlive their TTL over one stream and with one Authenticate, by etcd's own count", async () => {
  const authenticated = await server.counter(...started("Authenticate"));
  const streams = await server.counter(...started("LeaseKeepAlive"));
  const startedMs = performance.now();
  await keepLeases(LEASES);
  await until("two TTLs have passed", () => performance.now() - startedMs > 2 * TTL_SECONDS * 1000);
  expect(await server.counter(...started("Authenticate"))).toBe(authenticated + 1);
  expect(await server.counter(...started("LeaseKeepAlive"))).toBe(streams + 1);
  expect(await keysThere()).toBe(LEASES);
  expect(renewals).toBeGreaterThanOrEqual(4 * LEASES);
  expect(renewals).toBeLessThan(9 * LEASES);
  expect(lost).toEqual([]);
  expect(keeper.streams()).toBe(1);
});

test("a lease that is revoked is lost, and only that one", async () => {
  const leases = await keepLeases(20);
  await until("each was renewed", () => renewals >= 20);
  await etcd.revokeLease(leases[3] ?? "");
  await until("the loss is noticed", () => lost.length > 0);
  const before = renewals;
  await until("the others go on", () => renewals - before >= 2 * 19);
  expect(lost).toEqual([`${leases[3]} revoked`]);
  expect(keeper.size()).toBe(19);
  expect(keeper.streams()).toBe(1);
});

test("leases live on when etcd is killed with -9 and comes back", async () => {
  const leases = await keepLeases(LEASES);
  await until("each was renewed", () => renewals >= LEASES);
  await server.kill("SIGKILL");
  await until("the stream's end is noticed", () => keeper.streams() === 0);
  await server.start();
  const before = renewals;
  const startedMs = performance.now();
  await until("renewals go on", () => renewals - before >= 2 * LEASES);
  await until("a TTL has passed", () => performance.now() - startedMs > (TTL_SECONDS + 1) * 1000);
  expect(lost).toEqual([]);
  expect(keeper.size()).toBe(leases.length);
  expect(await keysThere()).toBe(LEASES);
  expect(await server.counter(...started("LeaseKeepAlive"))).toBeLessThanOrEqual(3);
});

test("a lease whose namespace the role has lost does not end the renewals of the others", async () => {
  const agent = { username: "agent", password: "agents-password" };
  const rights = rightsOf("agent", ["kept", "taken"]);
  const admin = createAuthAdmin({ endpoints: [server.endpoint], credentials: server.root, clock: systemClock });
  const plan = { role: "agent", rights, user: "agent", login: "password", enableAuth: true } as const;
  const secrets = { password: agent.password, newPassword: () => agent.password, rootPassword: undefined };
  await applySetup(admin, plan, secrets, () => {}).finally(() => admin.close());
  const own = connect(server.endpoint, agent);
  let answered = 0;
  const renewing = createLeaseKeeper({ etcd: own, ...parts, onRenewal: () => answered++ });
  try {
    for (const namespace of ["kept", "taken"]) {
      const { lease, ttlSeconds } = await own.grantLease(2);
      await own.transact([], [{ type: "put", key: `/fingerpost/${namespace}/a/1`, value: "here", lease }]);
      renewing.add(lease, ttlSeconds, (reason) => lost.push(`${namespace} ${reason}`));
    }
    await until("both are renewed", () => answered >= 4);
    const taken = rights.find(({ key }) => key.includes("taken"));
    await revokeRight(server.endpoint, server.root, "agent", taken!);
    const before = answered;
    // Newer servers ask for the right to put each key of the lease; to the others a lease is just a lease.
    const expected = (await server.checksRenewals()) ? ["taken expired"] : [];
    await until("what is to be lost is lost", () => lost.length === expected.length);
    await until("the others live on", () => answered - before >= 8);
    expect(lost).toEqual(expected);
    const { entry } = await own.get("/fingerpost/kept/a/1");
    expect(entry?.value).toBe("here");
  } finally {
    await renewing.close();
    await own.close();
  }
});
