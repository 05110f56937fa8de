import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Gateway } from "../../gateway/run.ts";
import { startTestRedis } from "../support/redis.ts";
import { ask, READ_ONLY_TOKEN, startGateway, TOKEN } from "./gateway.ts";

let server: Awaited<ReturnType<typeof startTestRedis>>;
let gateway: Gateway;
/** One Redis user for both tokens: only the gateway's own table keeps a reader from writing. */
let oneUser: Gateway;

beforeAll(async () => {
  server = await startTestRedis();
  gateway = await startGateway({ redisUrl: server.url, readOnlyRedisUrl: server.readOnlyUrl });
  oneUser = await startGateway({ redisUrl: server.url, poolSize: 1 });
});
beforeEach(async () => {
  await server.cli("FLUSHALL");
});
afterAll(async () => {
  await gateway?.close();
  await oneUser?.close();
  await server?.close();
});

const base64 = { "Upstash-Encoding": "base64" };
const encoded = (text: string) => Buffer.from(text).toString("base64");

describe("the wire", () => {
  test("results are plain by default, and base64 where asked for", async () => {
    await ask(gateway, "/", ["SET", "k", "wärt"]);
    expect(await ask(gateway, "/", ["GET", "k"])).toEqual({ status: 200, body: { result: "wärt" } });
    expect(await ask(gateway, "/", ["GET", "k"], { headers: base64 })).toEqual({
      status: 200,
      body: { result: encoded("wärt") },
    });
  });

  test("base64 covers strings at every depth, and leaves OK, numbers and null alone", async () => {
    const command = ["EVAL", "return {'OK', 1, false, {'OK', 'x'}}", 0];
    expect((await ask(gateway, "/", command, { headers: base64 })).body).toEqual({
      result: [encoded("OK"), 1, null, [encoded("OK"), encoded("x")]],
    });
    expect((await ask(gateway, "/", ["SET", "k", "v"], { headers: base64 })).body).toEqual({ result: "OK" });
    expect((await ask(gateway, "/", ["STRLEN", "k"], { headers: base64 })).body).toEqual({ result: 1 });
  });

  test("bytes that are no UTF-8 go in by the path form and come out in base64, unchanged", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    expect(await ask(gateway, "/set/bin", bytes)).toEqual({ status: 200, body: { result: "OK" } });
    const { body } = await ask(gateway, "/get/bin", undefined, { headers: base64 });
    expect(body).toEqual({ result: Buffer.from(bytes).toString("base64") });
  });

  test("whole numbers of 64 bits lose no digit on either way", async () => {
    await ask(gateway, "/", '["SET","n",9007199254740993]');
    expect((await ask(gateway, "/", ["GET", "n"])).body).toEqual({ result: "9007199254740993" });
    expect((await ask(gateway, "/", ["INCR", "n"])).body).toEqual({ result: "9007199254740994" });
    expect((await ask(gateway, "/", ["INCRBY", "m", -5])).body).toEqual({ result: -5 });
  });

  test("the path form takes encoded segments, a body as the last argument, and options from the query", async () => {
    expect((await ask(gateway, "/SET/a%2Fb/c%20d")).body).toEqual({ result: "OK" });
    expect((await ask(gateway, "/get/a%2Fb")).body).toEqual({ result: "c d" });
    expect((await ask(gateway, "/set/k?EX=100&NX", "from the body")).body).toEqual({ result: "OK" });
    expect((await ask(gateway, "/get/k")).body).toEqual({ result: "from the body" });
    const { body } = await ask(gateway, "/ttl/k");
    expect((body as { result: number }).result).toBeGreaterThan(90);
  });

  test("an error of Redis is 400 alone, and an element in a pipeline", async () => {
    await ask(gateway, "/", ["SET", "k", "v"]);
    const error = "WRONGTYPE Operation against a key holding the wrong kind of value";
    expect(await ask(gateway, "/", ["LPUSH", "k", "x"])).toEqual({ status: 400, body: { error } });
    const pipeline = [
      ["LPUSH", "k", "x"],
      ["SELECT", 1],
      ["GET", "k"],
    ];
    expect(await ask(gateway, "/pipeline", pipeline)).toEqual({
      status: 200,
      body: [{ error }, { error: expect.stringContaining("'select'") }, { result: "v" }],
    });
  });
});

describe("what is malformed is 400, says why, and runs nothing", () => {
  test.each([
    ["no JSON", "/", "{"],
    ["no UTF-8", "/", Uint8Array.from([0x5b, 0x22, 0xff, 0x22, 0x5d])],
    ["an object", "/", { command: "get" }],
    ["an empty command", "/", []],
    ["an empty name", "/", ["", "k"]],
    ["null as an argument", "/", ["SET", "k", null]],
    ["an object as an argument", "/", ["SET", "k", {}]],
    ["an empty body", "/", ""],
    ["an empty pipeline", "/pipeline", []],
    ["a pipeline of words", "/pipeline", ["SET", "k", "v"]],
    ["a pipeline with one bad command", "/pipeline", [["SET", "k", "v"], []]],
    ["a transaction with one bad command", "/multi-exec", [["SET", "k", "v"], [null]]],
    ["too many commands", "/pipeline", Array.from({ length: 1001 }, () => ["SET", "k", "v"])],
    ["too many arguments", "/pipeline", [["SET", "k", "v"], Array.from({ length: 200_000 }, () => "SADD")]],
    ["a path that is not encoded", "/set/k/%ff", undefined],
    ["a token in the URL", "/set/k/v?_token=writer-token", undefined],
  ])("%s", async (_name, path, body) => {
    const answer = await ask(gateway, path, body);
    expect(answer).toEqual({ status: 400, body: { error: expect.stringMatching(/^ERR ./) } });
    expect(await server.cli("DBSIZE")).toBe("0");
  });

  test("a body over 10 MiB, whether or not it says so beforehand", async () => {
    const body = JSON.stringify(["SET", "k", "x".repeat(10 * 1024 * 1024)]);
    expect(await ask(gateway, "/", body)).toEqual({ status: 400, body: { error: expect.stringContaining("size") } });
    const response = await fetch(gateway.url, {
      method: "POST",
      headers: { Authorization: `Bearer ${TOKEN}` },
      body: new Blob([body]).stream(),
      duplex: "half",
    } as RequestInit);
    expect(response.status).toBe(400);
    expect(await server.cli("DBSIZE")).toBe("0");
  });

  test("a method that is neither GET nor POST", async () => {
    const response = await fetch(`${gateway.url}/get/k`, { method: "DELETE" });
    expect([response.status, response.headers.get("Allow")]).toEqual([405, "GET, POST"]);
  });

  test("HEAD, which must change nothing: it runs no command, and only the probes answer it", async () => {
    const head = async (path: string) => {
      const headers = { Authorization: `Bearer ${TOKEN}` };
      const { status, headers: answered } = await fetch(gateway.url + path, { method: "HEAD", headers });
      return [status, answered.get("Allow")];
    };
    for (const path of ["/set/x/HEAD", "/get/x", "/", "/pipeline"]) {
      expect([path, ...(await head(path))]).toEqual([path, 405, "GET, POST"]);
    }
    expect(await server.cli("DBSIZE")).toBe("0");
    expect(await head("/healthz")).toEqual([200, null]);
    expect(await head("/readyz")).toEqual([200, null]);
  });
});

describe("who may ask", () => {
  test.each([
    ["none", ""],
    ["another", "Bearer other"],
    ["a longer one", `Bearer ${TOKEN}x`],
    ["another scheme", `Basic ${TOKEN}`],
  ])("with %s token nothing is told and nothing runs", async (_name, authorization) => {
    for (const path of ["/", "/pipeline", "/multi-exec", "/set/k/v", "/nothing"]) {
      const response = await fetch(gateway.url + path, {
        method: "POST",
        headers: { Authorization: authorization },
        body: '["SET","k","v"]',
      });
      expect([response.status, await response.json()]).toEqual([401, { error: "Unauthorized" }]);
    }
    expect(await server.cli("DBSIZE")).toBe("0");
  });

  test("a request from a web page is refused", async () => {
    const headers = { Origin: "https://example.com" };
    expect((await ask(gateway, "/set/k/v", undefined, { headers })).status).toBe(403);
    expect(await server.cli("DBSIZE")).toBe("0");
  });

  test("a proxy that passes on the Host of its own name is served", async () => {
    const { request } = await import("node:http");
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request(`${gateway.url}/get/k`, { headers: { Host: "redis.example.com", Authorization: `Bearer ${TOKEN}` } })
        .on("response", (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end();
    });
    expect(status).toBe(200);
  });

  test("the health of the process needs no token", async () => {
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${gateway.url}/readyz`)).status).toBe(200);
  });
});

describe("commands that are refused to everybody", () => {
  test.each(
    (
      "SELECT 1|AUTH x|HELLO 3|CLIENT LIST|RESET|QUIT|READONLY|MULTI|EXEC|DISCARD|WATCH k|UNWATCH|" +
      "SUBSCRIBE c|PSUBSCRIBE c|SSUBSCRIBE c|UNSUBSCRIBE|MONITOR|BLPOP k 0|BRPOP k 0|BLMOVE a b LEFT LEFT 0|" +
      "BLMPOP 0 1 k LEFT|BRPOPLPUSH a b 0|BZPOPMIN k 0|BZPOPMAX k 0|BZMPOP 0 1 k MIN|WAIT 1 0|" +
      "XREAD BLOCK 0 STREAMS k $|XREAD count 1 block 0 STREAMS k $|" +
      "XREADGROUP GROUP streams block COUNT 1 BLOCK 0 STREAMS k >|" +
      "SHUTDOWN|CONFIG GET *|DEBUG SLEEP 0|REPLICAOF no one|SLAVEOF no one|FAILOVER|SAVE|BGSAVE|SLOWLOG GET|" +
      "ACL WHOAMI|ACL LIST|COMMAND|INFO|ROLE|CLUSTER INFO|LATENCY LATEST|MODULE LIST|MIGRATE h 1 k 0 1|SWAPDB 0 1|" +
      "SCRIPT DEBUG YES|SCRIPT KILL|FUNCTION KILL|PSYNC ? 0|SYNC|NOSUCHCOMMAND|OBJECT NOSUCH k"
    ).split("|"),
  )("%s", async (line) => {
    const [name = "", ...args] = line.split(" ");
    for (const spelling of [name, name.toLowerCase()]) {
      const answer = await ask(oneUser, "/", [spelling, ...args]);
      expect(answer).toEqual({
        status: 400,
        body: { error: expect.stringMatching(/not available here|unknown command/) },
      });
      expect(
        (
          await ask(oneUser, "/multi-exec", [
            ["SET", "k", "v"],
            [spelling, ...args],
          ])
        ).status,
      ).toBe(400);
    }
    expect(await server.cli("DBSIZE")).toBe("0");
  });

  test("a group and a consumer may be named like the option that is refused", async () => {
    await ask(oneUser, "/", ["XADD", "s", "1-1", "f", "v"]);
    await ask(oneUser, "/", ["XGROUP", "CREATE", "s", "block", "0"]);
    const command = ["XREADGROUP", "GROUP", "block", "block", "COUNT", 1, "STREAMS", "s", ">"];
    expect((await ask(oneUser, "/", command)).body).toEqual({ result: [["s", [["1-1", ["f", "v"]]]]] });
  });
});

test("each token has the connections of its own Redis user, where there are two", async () => {
  const usersOf = async () => new Set((await server.cli("CLIENT", "LIST")).match(/(?<= user=)\S+/g));
  const [writer, reader] = [new URL(server.url).username, new URL(server.readOnlyUrl).username];
  expect(await usersOf()).toEqual(new Set([writer, reader, "admin"]));
  await ask(gateway, "/", ["SET", "k", "v"]);
  await server.cli("ACL", "SETUSER", reader, "-get");
  try {
    const refused = { status: 400, body: { error: expect.stringMatching(/^NOPERM/) } };
    expect(await ask(gateway, "/", ["GET", "k"], { token: READ_ONLY_TOKEN })).toEqual(refused);
    expect((await ask(gateway, "/", ["GET", "k"])).body).toEqual({ result: "v" });
  } finally {
    await server.cli("ACL", "SETUSER", reader, "+get");
  }
});

test("a read-only token writes nothing even where both tokens share one Redis user", async () => {
  await ask(oneUser, "/", ["SET", "k", "1"]);
  const token = { token: READ_ONLY_TOKEN };
  expect((await ask(oneUser, "/", ["GET", "k"], token)).body).toEqual({ result: "1" });
  const commands = [
    ["set", "k", 2],
    ["SeT", "k", 2],
    ["BITFIELD", "k", "SET", "u8", 0, 1],
    ["GETEX", "k", "EX", 1],
    ["SORT", "k", "STORE", "x"],
    ["GEORADIUS", "k", 0, 0, 1, "km", "STORE", "x"],
    ["EVAL_RO", "return 1", 0],
    ["FCALL_RO", "f", 0],
    ["PUBLISH", "c", "m"],
    ["SCAN", 0],
    ["RANDOMKEY"],
    ["DBSIZE", "extra"],
    ["OBJECT", "FREQ"],
    ["XGROUP", "CREATE", "k", "g", "0"],
    ["FUNCTION", "LIST"],
  ];
  for (const command of commands) {
    const alone = await ask(oneUser, "/", command, token);
    const inTransaction = await ask(oneUser, "/multi-exec", [["GET", "k"], command], token);
    expect([command, alone.status, inTransaction.status]).toEqual([command, 400, 400]);
  }
  expect((await ask(oneUser, "/", ["GET", "k"])).body).toEqual({ result: "1" });
  expect(await server.cli("DBSIZE")).toBe("1");
});
