import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import { connect, parts, put } from "./fixture.ts";

const TOKEN_TTL_SECONDS = 5;
const AUTHENTICATE = ["grpc_server_started_total", { grpc_method: "Authenticate" }] as const;

let server: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  server = await startTestEtcd({ extraArgs: ["--auth-token-ttl", String(TOKEN_TTL_SECONDS)] });
});
afterAll(() => server?.close());

function putMany(etcd: ReturnType<typeof connect>, count: number) {
  return Promise.all(
    Array.from({ length: count }, (_, index) => etcd.transact([], [put(`/fingerpost/default/auth/${index}`)])),
  );
}

async function idle(): Promise<void> {
  const sinceMs = performance.now();
  await until("an idle token has expired", () => performance.now() - sinceMs > (TOKEN_TTL_SECONDS + 2) * 1000);
}

test("calls cost an Authenticate once their token has expired idle, and from then on none: it is kept in use", async () => {
  const codes = new Map<string, number>();
  const etcd = connect(server.endpoint, server.user, {
    onRequest: (method, code) => codes.set(`${method} ${code}`, (codes.get(`${method} ${code}`) ?? 0) + 1),
  });
  const lost: string[] = [];
  // From 3.4.42 and 3.5.28 on, etcd looks at the token with each renewal as well.
  const keeper = createLeaseKeeper({ etcd, ...parts });
  try {
    const before = await server.counter(...AUTHENTICATE);
    await putMany(etcd, 300);
    expect(await server.counter(...AUTHENTICATE)).toBe(before + 1);

    await idle();
    await putMany(etcd, 300);
    expect(await server.counter(...AUTHENTICATE)).toBe(before + 2);
    // Otherwise the token had not expired, and this proves nothing.
    expect(codes.get("Txn unauthenticated")).toBeGreaterThan(0);
    expect(codes.get("Txn ok")).toBe(600);

    const { lease, ttlSeconds } = await etcd.grantLease(30);
    keeper.add(lease, ttlSeconds, (reason) => lost.push(reason));
    codes.clear();
    await idle();
    await putMany(etcd, 300);
    expect(await server.counter(...AUTHENTICATE)).toBe(before + 2);
    expect([...codes.keys()].filter((code) => code.endsWith("unauthenticated"))).toEqual([]);
    expect(codes.get("Range ok")).toBeLessThan(6);
    expect(lost).toEqual([]);
  } finally {
    await keeper.close();
    await etcd.close();
  }
});

test("a restart of etcd costs at most one Authenticate for all calls", async () => {
  const etcd = connect(server.endpoint, server.user);
  try {
    await putMany(etcd, 10);
    await server.kill("SIGKILL");
    await server.start();
    // The server counts from its start, and its own set-up may have authenticated since. It knows the tokens again that
    // its log still tells of, so that none at all is as good.
    const before = await server.counter(...AUTHENTICATE);
    await until("etcd is reached again", () => putMany(etcd, 300));
    expect(await server.counter(...AUTHENTICATE)).toBeLessThanOrEqual(before + 1);
  } finally {
    await etcd.close();
  }
});

test("a wrong password costs a few Authenticates, not one a call, and is not in any message", async () => {
  const secret = "certainly-not-the-password";
  let asked = 0;
  const etcd = connect(
    server.endpoint,
    { username: server.user.username, password: secret },
    { onAuthentication: () => asked++ },
  );
  try {
    const before = await server.counter(...AUTHENTICATE);
    const startedMs = performance.now();
    let calls = 0;
    await until("two seconds of calls", async () => {
      for (const result of await Promise.allSettled(Array.from({ length: 20 }, () => etcd.get("/fingerpost/")))) {
        calls++;
        expect(result).toMatchObject({ status: "rejected", reason: { code: "unauthenticated" } });
        expect(result.status === "rejected" ? String(result.reason) : "").not.toContain(secret);
      }
      return performance.now() - startedMs > 2000;
    });
    const sent = (await server.counter(...AUTHENTICATE)) - before;
    expect(sent).toBe(asked);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(12);
    expect(calls).toBeGreaterThan(500);
  } finally {
    await etcd.close();
  }
});

test("a call outside of the role is denied as such, and costs no second Authenticate", async () => {
  const etcd = connect(server.endpoint, server.user);
  try {
    const before = await server.counter(...AUTHENTICATE);
    await expect(etcd.get("/elsewhere")).rejects.toMatchObject({ code: "permission_denied" });
    await expect(etcd.transact([], [put("/elsewhere")])).rejects.toMatchObject({ code: "permission_denied" });
    expect(await server.counter(...AUTHENTICATE)).toBe(before + 1);
  } finally {
    await etcd.close();
  }
});
