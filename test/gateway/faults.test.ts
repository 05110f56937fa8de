import { request as httpRequest } from "node:http";
import { Redis } from "@upstash/redis";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { messageOf } from "../../kernel/errors.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import type { Gateway } from "../../gateway/run.ts";
import { runGateway } from "../../gateway/run.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { startTestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { ask, isReady, READ_ONLY_TOKEN, startGateway, TOKEN } from "./gateway.ts";

let server: Awaited<ReturnType<typeof startTestRedis>>;
let proxy: Proxy;
let redisUrl: string;
const gateways: Gateway[] = [];

beforeEach(async () => {
  server = await startTestRedis();
  const url = new URL(server.url);
  proxy = await startProxy(Number(url.port));
  url.port = String(proxy.port);
  redisUrl = url.href;
});
afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
  await proxy.close();
  await server.close();
});

async function start(...args: Parameters<typeof startGateway>): Promise<Gateway> {
  const gateway = await startGateway(...args);
  gateways.push(gateway);
  return gateway;
}

/** What an answer must not tell: where Redis is. */
const ADDRESS = /127\.0\.0\.1|localhost|ECONN|:\d{4}/;

describe("Redis is gone", () => {
  test("killed, requests fail at once with 503; back, they are answered again with nobody's help", async () => {
    // Longer than this test may take: a request that waited for its time would be the end of it.
    const gateway = await start({ redisUrl, requestTimeoutMs: 60_000 });
    const redis = new Redis({ url: gateway.url, token: TOKEN });
    await redis.set("k", "v");
    await server.kill("SIGKILL");
    await until("the gateway has noticed", async () => !(await isReady(gateway)));

    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(gateway, "/", ["GET", "k"])));
    for (const { status, body } of answers) {
      expect([status, body]).toEqual([503, { error: expect.stringMatching(/^ERR Redis is not reachable/) }]);
      expect(JSON.stringify(body)).not.toMatch(ADDRESS);
    }
    const error: unknown = await redis.get("k").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "UpstashError" });
    expect(messageOf(error)).not.toMatch(ADDRESS);

    await server.start();
    await until("the gateway is ready", () => isReady(gateway));
    expect(await redis.set("k", "w")).toBe("OK");
    expect(await redis.get("k")).toBe("w");
  });

  test("a gateway that starts before Redis says so, and is ready when Redis is", async () => {
    await server.kill("SIGKILL");
    const gateway = await start({ redisUrl }, { waitUntilReady: false });
    const response = await fetch(`${gateway.url}/readyz`);
    expect([response.status, await response.json()]).toEqual([503, { error: "ERR Redis is not reachable." }]);
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
    await server.start();
    await until("the gateway is ready", () => isReady(gateway));
  });

  test("connections that are cut are made again, and requests on the way end with an error", async () => {
    const gateway = await start({ redisUrl, poolSize: 2 });
    proxy.blackhole(true);
    const waiting = Array.from({ length: 4 }, () => ask(gateway, "/", ["GET", "k"]));
    await until("the requests are under way", () => proxy.connections() === 2);
    proxy.reset();
    proxy.blackhole(false);
    for (const { status } of await Promise.all(waiting)) expect([503, 200]).toContain(status);
    await until("the gateway is ready", () => isReady(gateway));
    expect(await ask(gateway, "/", ["SET", "k", "v"])).toEqual({ status: 200, body: { result: "OK" } });
  });
});

describe("Redis is silent", () => {
  test("requests end after their time, then fail at once, and work again once it speaks", async () => {
    const gateway = await start({ redisUrl, poolSize: 2, requestTimeoutMs: 1000 });
    proxy.blackhole(true);
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask(gateway, "/", ["GET", "k"])));
    expect(performance.now() - startedAt).toBeLessThan(3000);
    for (const { status, body } of answers) {
      expect([status, body]).toEqual([503, { error: expect.stringMatching(/^ERR .*Redis/) }]);
    }
    await until("the silent connections are given up", async () => !(await isReady(gateway)));
    const again = performance.now();
    expect((await ask(gateway, "/", ["GET", "k"])).status).toBe(503);
    expect(performance.now() - again).toBeLessThan(700);
    proxy.blackhole(false);
    await until("the gateway is ready", () => isReady(gateway));
    expect((await ask(gateway, "/", ["GET", "k"])).status).toBe(200);
  });

  test("a closing gateway does not wait for it", async () => {
    const gateway = await start({ redisUrl, requestTimeoutMs: 60_000, concurrentRequestsMax: 1 });
    proxy.blackhole(true);
    const request = ask(gateway, "/", ["GET", "k"]).catch(() => undefined);
    await until("the request is under way", async () => (await ask(gateway, "/none")).status === 429);
    const startedAt = performance.now();
    await gateway.close();
    expect(performance.now() - startedAt).toBeLessThan(6000);
    await request;
  });
});

describe("limits", () => {
  test("requests past the limit are 429, and those below it are answered", async () => {
    const gateway = await start({ redisUrl, poolSize: 1, concurrentRequestsMax: 5 });
    proxy.blackhole(true);
    const refused: number[] = [];
    const asked = Array.from({ length: 12 }, async () => {
      const { status } = await ask(gateway, "/", ["PING"]);
      if (status !== 200) refused.push(status);
      return status;
    });
    // None is answered before all have come.
    await until("those past the limit are refused", () => refused.length === 7);
    proxy.blackhole(false);
    expect((await Promise.all(asked)).filter((status) => status === 200)).toHaveLength(5);
    expect(refused).toEqual(Array(7).fill(429));
    expect((await ask(gateway, "/", ["PING"])).status).toBe(200);
  });

  test("readers with slow bodies take each other's places, and none of the writers'", async () => {
    const gateway = await start({ redisUrl, concurrentRequestsMax: 3 });
    const headers = { Authorization: `Bearer ${READ_ONLY_TOKEN}` };
    const uploads = Array.from({ length: 4 }, () => httpRequest(gateway.url, { method: "POST", headers }));
    // Three hold the places and are not answered, so whichever answer comes is of the fourth.
    const refused = new Promise((resolve) => {
      for (const upload of uploads) upload.on("response", (response) => resolve(response.statusCode));
    });
    for (const upload of uploads) upload.on("error", () => undefined).write("[");
    expect(await refused).toBe(429);

    expect(await ask(gateway, "/", ["SET", "k", "v"])).toEqual({ status: 200, body: { result: "OK" } });
    const read = () => ask(gateway, "/", ["GET", "k"], { token: READ_ONLY_TOKEN });
    expect((await read()).status).toBe(429);
    for (const upload of uploads) upload.destroy();
    await until("readers have a place again", async () => (await read()).status === 200);
  });

  test("the pool has as many connections as it is told", async () => {
    const pooled = await start({ redisUrl, poolSize: 3 });
    await until("all are connected", () => proxy.connections() === 3);
    await Promise.all(Array.from({ length: 50 }, () => ask(pooled, "/", ["PING"])));
    expect(proxy.connections()).toBe(3);
    await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
    await until("all are closed", () => proxy.connections() === 0);
  });
});

describe("the end of a gateway", () => {
  test("its signal closes it", async () => {
    const controller = new AbortController();
    const gateway = await runGateway(
      { listen: { host: "127.0.0.1", port: 0 }, token: TOKEN, redisUrl },
      {
        log: createLog("gateway", "silent"),
        clock: systemClock,
        random: systemRandom,
        signal: controller.signal,
      },
    );
    gateways.push(gateway);
    await until("the gateway is ready", () => isReady(gateway));
    controller.abort();
    await gateway.close();
    await expect(fetch(gateway.url)).rejects.toThrow(/fetch failed/);
    await until("its connections are closed", () => proxy.connections() === 0);
  });
});
