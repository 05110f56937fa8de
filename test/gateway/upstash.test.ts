import { Redis } from "@upstash/redis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Gateway } from "../../gateway/run.ts";
import { startTestRedis } from "../support/redis.ts";
import { READ_ONLY_TOKEN, startGateway, TOKEN } from "./gateway.ts";

let server: Awaited<ReturnType<typeof startTestRedis>>;
let gateway: Gateway;
/** With its default options: auto-pipelining, base64, read-your-writes, deserialising, telemetry. */
let redis: Redis;
let reader: Redis;

beforeAll(async () => {
  server = await startTestRedis();
  gateway = await startGateway({ redisUrl: server.url, readOnlyRedisUrl: server.readOnlyUrl });
  redis = new Redis({ url: gateway.url, token: TOKEN });
  reader = new Redis({ url: gateway.url, token: READ_ONLY_TOKEN });
});
beforeEach(async () => {
  await server.cli("FLUSHALL");
});
afterAll(async () => {
  await gateway?.close();
  await server?.close();
});

describe("values come back as they went in", () => {
  test.each([
    ["text", "plain"],
    ["emoji and other scripts", "🧭 Wegweiser — 道標 🏴󠁧󠁢󠁷󠁬󠁳󠁿"],
    ["control characters and quotes", 'a\0b\r\n"\\\u2028'],
    ["text that looks like base64", "T0s="],
    ["the word OK", "OK"],
    ["an empty string", ""],
    ["a number", 42],
    ["a fraction", 0.1],
    ["a boolean", true],
    ["an object", { a: [1, "two", null], b: { c: "ü" } }],
    ["digits that no double holds", "9007199254740993123"],
  ])("%s", async (_name, value) => {
    expect(await redis.set("key", value)).toBe("OK");
    expect(await redis.get("key")).toStrictEqual(value);
  });

  test("a value of five megabytes", async () => {
    const value = "0123456789abcdef".repeat(320 * 1024);
    await redis.set("big", value);
    expect(await redis.get("big")).toBe(value);
    expect(await redis.strlen("big")).toBe(value.length);
  });

  test("a key that is not there is null", async () => {
    expect(await redis.get("nothing")).toBeNull();
    expect(await redis.mget("nothing", "neither")).toEqual([null, null]);
  });

  test("a word from Redis itself", async () => {
    await redis.hset("h", { a: 1 });
    expect(await redis.type("h")).toBe("hash");
    expect(await redis.ping()).toBe("PONG");
    expect(await redis.echo("OK")).toBe("OK");
  });
});

describe("each kind of key works", () => {
  test("strings: options, counters, ranges", async () => {
    expect(await redis.set("a", 1, { ex: 100, nx: true })).toBe("OK");
    expect(await redis.set("a", 2, { nx: true })).toBeNull();
    expect(await redis.incrby("a", 41)).toBe(42);
    expect(await redis.incrbyfloat("a", 0.5)).toBe(42.5);
    expect(await redis.ttl("a")).toBeGreaterThan(90);
    expect(await redis.append("s", "héllo")).toBe(6);
    expect(await redis.getrange("s", 0, 0)).toBe("h");
    expect(await redis.mset({ x: "1", y: { z: 2 } })).toBe("OK");
    expect(await redis.mget("x", "y", "no")).toEqual([1, { z: 2 }, null]);
    expect(await redis.del("x", "y", "no")).toBe(2);
    expect(await redis.exists("x", "a")).toBe(1);
  });

  test("hashes", async () => {
    expect(await redis.hset("h", { name: "Zoë", n: 7, deep: { a: [1] } })).toBe(3);
    expect(await redis.hgetall("h")).toEqual({ name: "Zoë", n: 7, deep: { a: [1] } });
    expect(await redis.hmget("h", "name", "no")).toEqual({ name: "Zoë", no: null });
    expect(await redis.hincrby("h", "n", -10)).toBe(-3);
    expect(await redis.hgetall("no")).toBeNull();
    expect((await redis.hscan("h", 0))[1]).toContain("name");
  });

  test("sets, sorted sets and lists", async () => {
    await redis.sadd("s", "a", "ß", "🐟");
    expect((await redis.smembers("s")).toSorted()).toEqual(["a", "ß", "🐟"]);
    expect(await redis.smismember("s", ["a", "x"])).toEqual([1, 0]);
    await redis.zadd("z", { score: 1.5, member: "one" }, { score: 2, member: "two" });
    expect(await redis.zrange("z", 0, -1, { withScores: true })).toEqual(["one", 1.5, "two", 2]);
    expect(await redis.zscore("z", "two")).toBe(2);
    await redis.rpush<unknown>("l", "a", { b: 1 }, "OK");
    expect(await redis.lrange("l", 0, -1)).toEqual(["a", { b: 1 }, "OK"]);
    expect(await redis.lpop("l")).toBe("a");
  });

  test("streams, scans, geo and bits", async () => {
    const id = await redis.xadd("x", "*", { field: "wärt" });
    expect(await redis.xrange("x", "-", "+")).toEqual({ [id]: { field: "wärt" } });
    expect(await redis.xread("x", "0-0")).toEqual([["x", [[id, ["field", "wärt"]]]]]);
    const [cursor, keys] = await redis.scan(0, { match: "x*" });
    expect([cursor, keys]).toEqual(["0", ["x"]]);
    await redis.geoadd("g", { longitude: 13.361389, latitude: 38.115556, member: "Palermo" });
    expect(await redis.geohash("g", "Palermo")).toEqual(["sqc8b49rny0"]);
    expect(await redis.setbit("b", 7, 1)).toBe(0);
    expect(await redis.bitcount("b", 0, -1)).toBe(1);
  });

  test("scripts: by text, by hash, read-only, and as an object", async () => {
    const script = "return {KEYS[1], ARGV[1], 7, false, {ok='fine'}, {'nested', 'OK'}}";
    const expected = ["k", "🎯", 7, null, "fine", ["nested", "OK"]];
    expect(await redis.eval(script, ["k"], ["🎯"])).toEqual(expected);
    const sha = await redis.scriptLoad(script);
    expect(await redis.scriptExists(sha)).toEqual([1]);
    expect(await redis.evalsha(sha, ["k"], ["🎯"])).toEqual(expected);
    expect(await redis.createScript("return redis.call('SET', KEYS[1], ARGV[1])").exec(["k"], ["v"])).toBe("OK");
    expect(await redis.evalRo("return redis.call('GET', KEYS[1])", ["k"], [])).toBe("v");
  });

  test("publishing", async () => {
    expect(await redis.publish("channel", "message")).toBe(0);
  });
});

describe("several commands in one request", () => {
  test("a pipeline answers in order, and one error does not stop the others", async () => {
    await redis.set("text", "a");
    const pipeline = redis.pipeline().set("k", { a: 1 }).get("k").lpush("text", "x").incr("n");
    expect(await pipeline.exec({ keepErrors: true })).toEqual([
      { result: "OK", error: undefined },
      { result: { a: 1 }, error: undefined },
      { result: undefined, error: expect.stringContaining("WRONGTYPE") },
      { result: 1, error: undefined },
    ]);
    await expect(redis.pipeline().lpush("text", "x").get("k").exec()).rejects.toThrow(/Command 1 .*WRONGTYPE/);
  });

  test("calls of one tick, which the client sends as one pipeline, each get their own answer", async () => {
    const values = Array.from({ length: 100 }, (_, index) => `v${index}`);
    await Promise.all(values.map((value, index) => redis.set(`auto:${index}`, value)));
    expect(await Promise.all(values.map((_, index) => redis.get(`auto:${index}`)))).toEqual(values);
    const settled = await Promise.allSettled([redis.set("t", "x"), redis.lpush("t", "y"), redis.get("t")]);
    expect(settled.map((outcome) => outcome.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });

  test("a transaction is one MULTI and EXEC", async () => {
    const before = await server.commandCount("multi", "exec");
    expect(await redis.multi().set("a", "1").incr("a").hgetall("no").get("a").exec()).toEqual(["OK", 2, null, 2]);
    expect(await server.commandCount("multi", "exec")).toBe(before + 2);
  });

  test("a transaction that fails as it is queued does nothing, and one that fails as it runs does the rest", async () => {
    const broken = redis.multi().set("a", "1").hset("h", {}).exec();
    await expect(broken).rejects.toThrow(/EXECABORT.*wrong number of arguments for 'hset'/);
    expect(await redis.get("a")).toBeNull();

    const results = await redis.multi().set("a", "1").lpush("a", "x").set("b", "2").exec({ keepErrors: true });
    expect(results.map(({ error }) => error?.slice(0, 9))).toEqual([undefined, "WRONGTYPE", undefined]);
    expect(await redis.mget("a", "b")).toEqual([1, 2]);
  });

  test("nothing of another request comes between the commands of a transaction", async () => {
    const transactions = Array.from({ length: 60 }, () =>
      redis.multi().incr("n").incr("n").incr("n").incr("n").incr("n").exec<number[]>(),
    );
    const noise = Array.from({ length: 200 }, () => redis.incr("n"));
    const results = await Promise.all(transactions);
    await Promise.all(noise);
    for (const numbers of results) {
      const [first = 0] = numbers;
      expect(numbers).toEqual([first, first + 1, first + 2, first + 3, first + 4]);
    }
    expect(await redis.get("n")).toBe(500);
  });

  test("a read sees the write before it, whatever connection it takes", async () => {
    for (let index = 0; index < 50; index++) {
      await redis.set("ryw", index);
      expect(await redis.get("ryw")).toBe(index);
    }
  });
});

describe("errors reach the caller as the client's own", () => {
  test("an error of Redis", async () => {
    await redis.set("text", "a");
    const error: unknown = await redis.lpush("text", "b").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "UpstashError", message: expect.stringContaining("WRONGTYPE") });
    await expect(redis.evalsha("0".repeat(40), [], [])).rejects.toThrow(/NOSCRIPT/);
    await expect(redis.eval("return redis.error_reply('MY own')", [], [])).rejects.toThrow(/MY own/);
  });

  test("a wrong token", async () => {
    const stranger = new Redis({ url: gateway.url, token: "wrong" });
    await expect(stranger.get("a")).rejects.toThrow(/Unauthorized/);
    await expect(stranger.multi().set("a", "1").exec()).rejects.toThrow(/Unauthorized/);
    expect(await redis.get("a")).toBeNull();
  });

  test("a subscription is refused, with what to do instead", async () => {
    const subscriber = redis.subscribe("channel");
    const error = await new Promise<unknown>((resolve) => {
      subscriber.on("error", resolve);
    });
    expect(String(error)).toMatch(/subscri/);
  });
});

describe("the read-only token", () => {
  test("reads, alone, in a pipeline and in a transaction", async () => {
    await redis.set("a", "1");
    await redis.hset("h", { x: "ü" });
    expect(await reader.get("a")).toBe(1);
    expect(await reader.mget("a", "b")).toEqual([1, null]);
    expect(await reader.pipeline().hgetall("h").exists("a").ttl("a").exec()).toEqual([{ x: "ü" }, 1, -1]);
    expect(await reader.multi().get("a").hget("h", "x").exec()).toEqual([1, "ü"]);
    expect(await reader.ping()).toBe("PONG");
    expect((await reader.time())[0]).toBeGreaterThan(1_700_000_000);
  });

  test("writes nothing, runs no script, and cannot list the keys", async () => {
    await redis.set("a", "1");
    const refused = [
      reader.set("a", "2"),
      reader.del("a"),
      reader.expire("a", 1),
      reader.getdel("a"),
      reader.getex("a", { ex: 1 }),
      reader.eval("return redis.call('SET', 'a', '3')", [], []),
      reader.evalRo("return redis.call('GET', 'a')", [], []),
      reader.evalsha("0".repeat(40), [], []),
      reader.scriptLoad("return 1"),
      reader.publish("channel", "message"),
      reader.scan(0),
      reader.keys("*"),
      reader.flushall(),
      reader.multi().get("a").set("a", "4").exec(),
      reader.pipeline().set("a", "5").exec(),
    ];
    for (const outcome of await Promise.allSettled(refused)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { name: "UpstashError" } });
    }
    expect(await redis.get("a")).toBe(1);
    expect(await redis.ttl("a")).toBe(-1);
  });
});
