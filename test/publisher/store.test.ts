import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { commit, COMMIT_SCRIPT, headGuard } from "../../registrar/publisher/commit-script.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import { createUpstashStore } from "../../registrar/publisher/redis-upstash.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import type { Gateway } from "../../gateway/run.ts";
import { startGateway, TOKEN } from "../gateway/gateway.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { parts } from "./fixture.ts";
import { readText } from "../../registrar/publisher/read-script.ts";

let redis: TestRedis;
let gateway: Gateway;

beforeAll(async () => {
  redis = await startTestRedis();
  gateway = await startGateway({ redisUrl: redis.url });
});

afterAll(async () => {
  await gateway.close();
  await redis.close();
});

describe.each([
  ["a direct connection", () => createDirectStore({ url: redis.url, ...parts })],
  ["Upstash's protocol", () => createUpstashStore({ url: gateway.url, token: TOKEN })],
])("a store over %s", (_name, create) => {
  let store: SnapshotStore;

  beforeEach(async () => {
    await redis.cli("FLUSHALL");
    store = create();
  });

  afterEach(() => store.close());

  const write = (head: string, guard: string | undefined, value = "v") =>
    commit(store, { headKey: "head", guard: headGuard(guard), writes: [{ key: "k", value }], head });

  it("gives back what was written, whatever characters it has, and tells a missing key from an empty one", async () => {
    const value = '{"a":[],"tags":["é🚀"],"n":12345678901234567}';
    expect(await write("h1", undefined, value)).toBe("committed");
    expect(await textIn(store, "k")).toBe(value);
    expect(await textIn(store, "missing")).toBeUndefined();
    expect(await commit(store, { headKey: "head", guard: headGuard("h1"), writes: [{ key: "k", value: "" }] })).toBe(
      "committed",
    );
    expect(await textIn(store, "k")).toBe("");
    expect(await textIn(store, "head")).toBe("h1");
  });

  it("tells Redis' time", async () => {
    const [seconds = ""] = (await redis.cli("TIME")).split("\n");
    expect(Math.abs((await store.timeMs()) - Number(seconds) * 1000)).toBeLessThan(5000);
  });

  it("refuses a commit over another head than the one it was built on, and writes nothing", async () => {
    await write("h1", undefined);
    expect(await write("h2", "h1", "second")).toBe("committed");
    expect(await write("h3", "h1", "late")).toBe("refused");
    expect(await write("h3", undefined, "late")).toBe("refused");
    expect(await textIn(store, "k")).toBe("second");
    expect(await textIn(store, "head")).toBe("h2");
  });

  it("takes the repetition of a commit for the success it was, and writes nothing again", async () => {
    await write("h1", undefined);
    await write("h2", "h1", "second");
    await redis.cli("SET", "k", "later");
    expect(await write("h2", "h1", "second")).toBe("repeated");
    expect(await textIn(store, "k")).toBe("later");
  });

  it("refuses to build on a head that was lost", async () => {
    await write("h1", undefined);
    await redis.cli("FLUSHALL");
    expect(await write("h2", "h1")).toBe("refused");
    expect(await textIn(store, "k")).toBeUndefined();
  });

  it("lets a key expire when told to, and only then", async () => {
    await commit(store, {
      headKey: "head",
      guard: "",
      writes: [
        { key: "k", value: "v", expiresInMs: 180_000 },
        { key: "stays", value: "v" },
      ],
      head: "h1",
    });
    expect(Number(await redis.cli("PTTL", "k"))).toBeGreaterThan(170_000);
    expect(await redis.cli("PTTL", "stays")).toBe("-1");
    await write("h2", "h1");
    expect(await redis.cli("PTTL", "k")).toBe("-1");
  });

  it("sends the script whole only when Redis does not know it", async () => {
    await redis.cli("SCRIPT", "FLUSH");
    const before = await redis.commandCount("eval");
    await write("h1", undefined);
    await write("h2", "h1");
    await write("h3", "h2");
    expect((await redis.commandCount("eval")) - before).toBe(1);
  });

  it("keeps a command's content out of what it says of Redis' errors", async () => {
    await redis.cli("SET", "list", "x");
    const broken = store.evaluate("return redis.call('LPUSH', KEYS[1], ARGV[1])", ["list"], ["a-secret"]);
    await expect(broken).rejects.toMatchObject({ code: "unavailable" });
    const error = (await broken.catch((reason: unknown) => reason)) as Error;
    expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain("a-secret");
    expect(COMMIT_SCRIPT).not.toContain("cjson");
  });
});

describe("a store that cannot reach Redis", () => {
  let proxy: Proxy;

  beforeEach(async () => {
    proxy = await startProxy(redis.port);
  });

  afterEach(() => proxy.close());

  it("rejects within its time on a connection that has died silently, and then makes another", async () => {
    const store = createDirectStore({ url: redis.url.replace(String(redis.port), String(proxy.port)), ...parts });
    await store.timeMs();
    const before = await connectionsSoFar();
    proxy.blackhole(true);
    const started = performance.now();
    await expect(textIn(store, "k")).rejects.toMatchObject({ code: "unavailable" });
    expect(performance.now() - started).toBeLessThan(4000);
    proxy.blackhole(false);
    await until("the store reaches Redis again", () => store.timeMs());
    // One is that of the question itself.
    expect((await connectionsSoFar()) - before).toBe(2);
    await store.close();
  });

  it("takes a gateway that does not answer for unreachable, never for one that has no such key", async () => {
    const behind = await startProxy(gateway.port);
    behind.blackhole(true);
    const store = createUpstashStore({ url: `http://127.0.0.1:${behind.port}`, token: TOKEN });
    const started = performance.now();
    await expect(textIn(store, "k")).rejects.toThrow("no answer in time");
    expect(performance.now() - started).toBeLessThan(7000);
    await behind.close();
  });

  it("comes back by itself after its connection was cut, and was refused for a while", async () => {
    const store = createDirectStore({ url: redis.url.replace(String(redis.port), String(proxy.port)), ...parts });
    await store.timeMs();
    await proxy.refuse(true);
    proxy.reset();
    for (let call = 0; call < 20; call++) {
      await expect(textIn(store, "k")).rejects.toMatchObject({ code: "unavailable" });
    }
    await proxy.refuse(false);
    await until("the store reaches Redis again", () => store.timeMs());
    await store.close();
    await expect(textIn(store, "k")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("names neither user nor password when Redis refuses them", async () => {
    const store = createDirectStore({ url: `redis://nobody:a-secret@127.0.0.1:${redis.port}`, ...parts });
    const error = (await textIn(store, "k").catch((reason: unknown) => reason)) as Error;
    expect(error.message).toContain("WRONGPASS");
    expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(/nobody|a-secret/);
    await store.close();
  });

  it("names host and port when Redis is not there, and neither user nor password", async () => {
    await proxy.refuse(true);
    const store = createDirectStore({ url: `redis://nobody:a-secret@127.0.0.1:${proxy.port}`, ...parts });
    const error = (await textIn(store, "k").catch((reason: unknown) => reason)) as Error;
    expect(error.message).toBe(`Redis at 127.0.0.1:${proxy.port} cannot be reached: the connection failed.`);
    expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(/nobody|a-secret/);
    await store.close();
  });

  it("says so when the token is wrong, or nobody listens, without the command", async () => {
    const wrong = createUpstashStore({ url: gateway.url, token: "a-wrong-token" });
    const gone = createUpstashStore({ url: `http://127.0.0.1:${proxy.port}`, token: TOKEN });
    await proxy.refuse(true);
    for (const [store, message] of [
      [wrong, "Redis refused the token."],
      [gone, `Redis at 127.0.0.1:${proxy.port} cannot be reached: the request failed.`],
    ] as const) {
      const error = (await textIn(store, "a-secret").catch((reason: unknown) => reason)) as Error;
      expect(error.message).toBe(message);
      expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(/a-secret|a-wrong-token/);
    }
  });
});

async function connectionsSoFar(): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(await redis.cli("INFO", "stats"))?.[1]);
}

async function textIn(from: SnapshotStore, key: string): Promise<string | undefined> {
  return (await readText(from, key)).text;
}
