import { afterAll, beforeAll, expect, test } from "vitest";
import { createFollower } from "../../registrar/etcd/follower.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import { createLogTo, type LogLine } from "../../node/log.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { connect, createMirror, parts, put } from "./fixture.ts";

const PREFIX = "/fingerpost/default/black-hole/";

let server: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  server = await startTestEtcd();
});
afterAll(() => server?.close());

test("a black-holed connection is noticed by calls, leases and watch, and all go on when it ends", async () => {
  const proxy = await startProxy(Number(new URL(server.endpoint).port));
  const direct = connect(server.endpoint, server.user);
  const etcd = connect(`http://127.0.0.1:${proxy.port}`, server.user, { timeoutMs: 1000 });
  let renewals = 0;
  let restarts = 0;
  const lost: string[] = [];
  const keeper = createLeaseKeeper({ etcd, ...parts, onRenewal: () => renewals++ });
  const mirror = createMirror();
  const follower = createFollower({ etcd, prefix: PREFIX, sink: mirror, ...parts, onRestart: () => restarts++ });
  try {
    follower.start();
    const { lease, ttlSeconds } = await etcd.grantLease(60);
    keeper.add(lease, ttlSeconds, (reason) => lost.push(reason));
    await until("the list is there", () => follower.isReady());
    // By its last event a follower knows etcd again, and without one it would list everything.
    await direct.transact([], [put(`${PREFIX}before`)]);
    await until("an event has come", () => mirror.keysPut.length === 1);
    const short = await etcd.grantLease(3);
    keeper.add(short.lease, short.ttlSeconds, (reason) => lost.push(reason));
    await until("leases are renewed", () => renewals > 0);

    proxy.blackhole(true);
    const sinceMs = performance.now();
    await expect(etcd.get(PREFIX)).rejects.toMatchObject({ code: "unavailable" });
    expect(performance.now() - sinceMs).toBeLessThan(2000);
    await until("the lease stream counts as silent", () => keeper.streams() === 0);
    await direct.transact([], [put(`${PREFIX}meanwhile`)]);
    // By gRPC's pings: after 10 s without one, and 5 s without an answer to it.
    await until("the watch counts as dead", () => restarts > 0, { timeoutMs: 20_000 });
    expect(mirror.keysPut).toHaveLength(1);

    proxy.reset();
    proxy.blackhole(false);
    await until("what was written meanwhile is there", () => mirror.keysPut.length === 2);
    await until("the short lease is told as expired", () => lost.length === 1);
    expect(lost).toEqual(["expired"]);
    expect(keeper.size()).toBe(1);
    expect(mirror.restores()).toBe(1);
  } finally {
    await follower.close();
    await keeper.close();
    await Promise.all([etcd.close(), direct.close()]);
    await proxy.close();
  }
}, 60_000);

test("an etcd that is slow is left alone by calls after three, while its leases are renewed, the later and the longer", async () => {
  const proxy = await startProxy(Number(new URL(server.endpoint).port));
  const etcd = connect(`http://127.0.0.1:${proxy.port}`, server.user, { timeoutMs: 400 });
  let renewals = 0;
  const lost: string[] = [];
  const keeper = createLeaseKeeper({ etcd, ...parts, onRenewal: () => renewals++ });
  try {
    for (let index = 0; index < 20; index++) {
      const { lease, ttlSeconds } = await etcd.grantLease(4);
      keeper.add(lease, ttlSeconds, (reason) => lost.push(reason));
    }
    proxy.latencyMs(800);
    for (let failures = 0; failures < 3; failures++) {
      expect(etcd.circuit()).toEqual({ type: "closed" });
      await expect(etcd.get(PREFIX)).rejects.toMatchObject({ code: "unavailable" });
    }
    expect(etcd.circuit().type).toBe("open");
    const refusals: unknown[] = [];
    const sinceMs = performance.now();
    for (let calls = 0; calls < 100; calls++) await etcd.get(PREFIX).catch((error: unknown) => refusals.push(error));
    expect(refusals).toHaveLength(100);
    // One of them may have been the probe.
    expect(performance.now() - sinceMs).toBeLessThan(1500);
    await until("renewals go on, and tell that etcd is slow", () => renewals > 20 && keeper.strain() > 0.5);
    expect(etcd.circuit().type).not.toBe("closed");
    proxy.latencyMs(0);
    await until("calls go through again", () => etcd.get(PREFIX));
    expect(etcd.circuit()).toEqual({ type: "closed" });
    await until("etcd is at ease again", () => keeper.strain() === 0);
    expect(lost).toEqual([]);
  } finally {
    await keeper.close();
    await etcd.close();
    await proxy.close();
  }
});

test("a member that is gone is left for the next, with the same token", async () => {
  const gone = await startProxy(Number(new URL(server.endpoint).port));
  const here = await startProxy(Number(new URL(server.endpoint).port));
  let authentications = 0;
  const etcd = connect(server.endpoint, server.user, {
    endpoints: [gone.port, here.port].map((port) => `http://127.0.0.1:${port}`),
    random: () => 0,
    onAuthentication: () => authentications++,
  });
  try {
    await etcd.transact([], [put(`${PREFIX}one`)]);
    expect([gone.connections(), here.connections()]).toEqual([1, 0]);
    await gone.refuse(true);
    gone.reset();
    await until("the other member is used", () => etcd.transact([], [put(`${PREFIX}two`)]));
    expect([gone.connections(), here.connections()]).toEqual([0, 1]);
    expect(authentications).toBe(1);
  } finally {
    await etcd.close();
    await Promise.all([gone.close(), here.close()]);
  }
});

test("a member that is slow once is kept: what then asks whether the token is to blame does not count against it", async () => {
  const port = Number(new URL(server.endpoint).port);
  const [slow, other] = await Promise.all([startProxy(port), startProxy(port)]);
  let reads = 0;
  const lines: LogLine[] = [];
  const etcd = connect(server.endpoint, server.user, {
    endpoints: [slow, other].map((proxy) => `http://127.0.0.1:${proxy.port}`),
    random: () => 0,
    timeoutMs: 400,
    log: createLogTo("test", (line) => lines.push(line)),
    onRequest: (method) => (reads += method === "Range" ? 1 : 0),
  });
  try {
    await etcd.transact([], [put(`${PREFIX}quick`)]);
    expect(reads).toBe(0);
    slow.latencyMs(1500);
    await expect(etcd.transact([], [put(`${PREFIX}slow`)])).rejects.toMatchObject({ code: "unavailable" });
    await until("both reads have ended", () => reads === 2);
    expect(lines).toEqual([]);
    await expect(etcd.transact([], [put(`${PREFIX}slow`)])).rejects.toMatchObject({ code: "unavailable" });
    expect(JSON.stringify(lines)).toContain("Moving to another etcd member");
  } finally {
    await etcd.close();
    await Promise.all([slow.close(), other.close()]);
  }
});
