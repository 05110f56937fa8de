import { connect, createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { createClient } from "@redis/client";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startTestEtcd, type TestEtcd } from "./etcd.ts";
import { createLineTimes } from "./flow.ts";
import { startProxy } from "./proxy.ts";
import { seededRandom } from "./random.ts";
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

describe("a line that is bad", () => {
  /** Says everything back, and counts what it was told. */
  async function echo() {
    let heard = 0;
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk) => {
        heard += chunk.byteLength;
        socket.write(chunk);
      });
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const proxy = await startProxy((server.address() as AddressInfo).port);
    onTestFinished(() => proxy.close());
    const dial = () => {
      const socket = connect({ host: "127.0.0.1", port: proxy.port });
      onTestFinished(() => void socket.destroy());
      const seen = { bytes: 0, error: "" };
      socket.on("data", (chunk) => (seen.bytes += chunk.byteLength));
      socket.on("error", ({ message }) => (seen.error = message));
      return { socket, seen };
    };
    return { proxy, dial, heard: () => heard };
  }

  it("lets requests through while it holds the answers back, and the other way round", async () => {
    const { proxy, dial, heard } = await echo();
    const { socket, seen } = dial();
    proxy.blackhole(true, "answers");
    socket.write("12345");
    await until("the request is there", () => heard() === 5);
    expect(seen.bytes).toBe(0);
    proxy.blackhole(true, "requests");
    proxy.blackhole(false, "answers");
    await until("the answer is there", () => seen.bytes === 5);
    socket.write("678");
    const other = dial();
    other.socket.write("90");
    await once(other.socket, "connect");
    expect(heard()).toBe(5);
    proxy.blackhole(false);
    await until("all is there", () => heard() === 10 && seen.bytes === 8 && other.seen.bytes === 2);
  });

  it("resets each connection in the middle of what it says, and none once it is mended", async () => {
    const { proxy, dial } = await echo();
    proxy.cutWithin(3000, seededRandom(1));
    for (let round = 0; round < 5; round++) {
      const { socket, seen } = dial();
      socket.write(Buffer.alloc(3000));
      await until("the connection is reset", () => seen.error.includes("ECONNRESET"));
      expect(seen.bytes).toBeLessThan(3000);
    }
    proxy.cutWithin(1000, seededRandom(1));
    const chatting = dial();
    for (let said = 0; said <= 1000 && chatting.seen.error === ""; said += 200) {
      const before = chatting.seen.bytes;
      chatting.socket.write(Buffer.alloc(100));
      await until("it is told something", () => chatting.seen.bytes >= before + 100 || chatting.seen.error !== "");
    }
    expect(chatting.seen.error).toMatch(/ECONNRESET/);
    proxy.cutWithin(undefined, seededRandom(1));
    const { socket, seen } = dial();
    socket.write(Buffer.alloc(100_000));
    await until("everything came back", () => seen.bytes === 100_000);
    expect(seen.error).toBe("");
  });

  it("delays both ways, and still passes on what was said before the end", async () => {
    const { proxy, dial } = await echo();
    proxy.shape({ latencyMs: 40, jitterMs: 20, random: seededRandom(1) });
    const { socket, seen } = dial();
    await once(socket, "connect");
    const fromMs = performance.now();
    socket.end("12345");
    await until("the answer is there", () => seen.bytes === 5);
    expect(performance.now() - fromMs).toBeGreaterThanOrEqual(80);
    await until("both are closed", () => proxy.connections() === 0);
  });

  it("keeps the order, stalls for what was lost, and takes the time its width takes", () => {
    const random = seededRandom(7);
    const jittery = createLineTimes();
    const arrivals = Array.from({ length: 200 }, (_, at) =>
      jittery.arrivalMs(at, 100, { latencyMs: 10, jitterMs: 50, random }),
    );
    expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
    expect(arrivals.every((arrival, at) => arrival >= at + 10)).toBe(true);

    const lossy = createLineTimes();
    const lostOnce = [0.01, 0.9, 0.5];
    const next = () => lostOnce.shift() ?? 0.5;
    expect(lossy.arrivalMs(0, 100, { loss: 0.1, random: next })).toBe(200);
    expect(lossy.arrivalMs(10, 100, { loss: 0.1, random: next })).toBe(200);
    expect(lossy.arrivalMs(300, 100, { loss: 0.1, random: next })).toBe(300);

    const narrow = createLineTimes();
    const shape = { bytesPerSecond: 1000, random };
    expect([narrow.arrivalMs(0, 500, shape), narrow.arrivalMs(0, 500, shape)]).toEqual([500, 1000]);
    expect(narrow.arrivalMs(400, 1, undefined)).toBe(1000);
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
