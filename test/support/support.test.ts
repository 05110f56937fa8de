import { connect } from "node:net";
import { once } from "node:events";
import { createClient } from "@redis/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEtcd, type TestEtcd } from "./etcd.ts";
import { startProxy } from "./proxy.ts";
import { startTestRedis, type TestRedis } from "./redis.ts";
import { createManualClock } from "./clock.ts";
import { until } from "./until.ts";

describe("etcd for tests", () => {
  let etcd: TestEtcd;
  beforeAll(async () => {
    etcd = await startTestEtcd();
  });
  afterAll(() => etcd.close());

  it("refuses who has no credentials", async () => {
    expect(await range(etcd, "/fingerpost/x")).toMatch(/user name is empty/);
  });

  it("lets the registrar's user at our prefix and at nothing else, before and after a kill", async () => {
    for (let round = 0; round < 2; round++) {
      const token = await authenticate(etcd, etcd.user);
      expect(await range(etcd, "/fingerpost/x", token)).toMatch(/"revision"/);
      expect(await range(etcd, "/other/x", token)).toMatch(/permission denied/);
      await etcd.kill();
      await expect(etcd.metrics()).rejects.toThrow(/fetch failed/);
      await etcd.start();
    }
  });

  it("counts what it was asked by its own metrics", async () => {
    const labels = { grpc_method: "Authenticate", grpc_code: "OK" };
    const before = await etcd.counter("grpc_server_handled_total", labels);
    await authenticate(etcd, etcd.user);
    expect(await etcd.counter("grpc_server_handled_total", labels)).toBe(before + 1);
  });
});

describe("Redis for tests", () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.close());

  it("lets the read-write user write and run scripts, and administer nothing", async () => {
    const client = await createClient({ url: redis.url }).connect();
    await client.set("k", "v");
    expect(await client.eval("return redis.call('get', KEYS[1])", { keys: ["k"], arguments: [] })).toBe("v");
    await expect(client.sendCommand(["CONFIG", "GET", "*"])).rejects.toThrow(/NOPERM/);
    await expect(client.sendCommand(["FLUSHALL"])).rejects.toThrow(/NOPERM/);
    await client.close();
  });

  it("lets the read-only user read, and neither write, run scripts nor walk the keys", async () => {
    await redis.cli("SET", "k", "v");
    const client = await createClient({ url: redis.readOnlyUrl }).connect();
    expect(await client.multi().get("k").exec()).toEqual(["v"]);
    for (const command of [
      ["SET", "k", "w"],
      ["EVAL", "return 1", "0"],
      ["KEYS", "*"],
      ["SCAN", "0"],
      ["DEL", "k"],
    ]) {
      await expect(client.sendCommand(command)).rejects.toThrow(/NOPERM/);
    }
    await client.close();
  });

  it("counts commands, and is empty after it was killed", async () => {
    const before = await redis.commandCount("get");
    await redis.cli("GET", "k");
    expect(await redis.commandCount("GET")).toBe(before + 1);
    await redis.cli("SET", "k", "v");
    await redis.kill();
    await redis.start();
    expect(await redis.cli("DBSIZE")).toBe("0");
  });
});

describe("the proxy for tests", () => {
  it("holds bytes back, cuts and refuses as it is told", async () => {
    const redis = await startTestRedis();
    const proxy = await startProxy(redis.port);
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    let received = "";
    socket.on("data", (chunk) => (received += chunk.toString()));
    socket.write("PING\r\n");
    await until("an answer through the proxy", () => received.includes("NOAUTH"));
    received = "";

    proxy.blackhole(true);
    socket.write("PING\r\n");
    const late = connect({ host: "127.0.0.1", port: proxy.port });
    await once(late, "connect");
    await until("both connections are open", () => proxy.connections() === 2);
    expect(received).toBe("");
    proxy.blackhole(false);
    await until("what was held back", () => received.includes("NOAUTH"));

    const cut = once(socket, "error");
    late.on("error", () => late.destroy());
    proxy.reset();
    expect(String(await cut)).toMatch(/ECONNRESET/);
    await until("no connection is left", () => proxy.connections() === 0);

    await proxy.refuse(true);
    const [error] = await once(connect({ host: "127.0.0.1", port: proxy.port }), "error");
    expect(String(error)).toMatch(/ECONNREFUSED/);
    await proxy.refuse(false);
    await once(connect({ host: "127.0.0.1", port: proxy.port }), "connect");
    await proxy.close();
    await redis.close();
  });
});

describe("the manual clock", () => {
  it("runs timers in their order, with those that they plan themselves", async () => {
    const clock = createManualClock(1000);
    const seen: [string, number][] = [];
    clock.after(20, () => seen.push(["b", clock.now()]));
    clock.after(10, () => {
      seen.push(["a", clock.now()]);
      void Promise.resolve().then(() => clock.after(15, () => seen.push(["c", clock.now()])));
    });
    const cancel = clock.after(5, () => seen.push(["never", clock.now()]));
    cancel();
    await clock.advance(24);
    expect(seen).toEqual([
      ["a", 1010],
      ["b", 1020],
    ]);
    await clock.advance(1);
    expect(seen.at(-1)).toEqual(["c", 1025]);
    expect(clock.monotonic()).toBe(25);
  });
});

async function authenticate(etcd: TestEtcd, { username, password }: TestEtcd["user"]): Promise<string> {
  const response = await fetch(`${etcd.endpoint}/v3/auth/authenticate`, {
    method: "POST",
    body: JSON.stringify({ name: username, password }),
  });
  const { token } = (await response.json()) as { token: string };
  return token;
}

async function range(etcd: TestEtcd, key: string, token?: string): Promise<string> {
  const response = await fetch(`${etcd.endpoint}/v3/kv/range`, {
    method: "POST",
    headers: token === undefined ? {} : { authorization: token },
    body: JSON.stringify({ key: Buffer.from(key).toString("base64") }),
  });
  return response.text();
}
