import { Redis } from "@upstash/redis";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { vacantKey } from "../../contract/redis-keys.ts";
import type { Gateway } from "../../gateway/run.ts";
import { createResolver } from "../../src/resolver.ts";
import { MGET_KEYS_MAX, type ReadStore } from "../../src/store/redis.ts";
import { createUpstashStore } from "../../src/store/upstash.ts";
import { fromUpstash } from "../../src/store/upstash-client.ts";
import { READ_ONLY_TOKEN, startGateway, TOKEN } from "../gateway/gateway.ts";
import { createManualClock } from "../support/clock.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";

const TIMEOUT_MS = 200;

let redis: TestRedis;
let gateway: Gateway;

beforeAll(async () => {
  redis = await startTestRedis();
  gateway = await startGateway({ redisUrl: redis.url, readOnlyRedisUrl: redis.readOnlyUrl });
});

afterAll(async () => {
  await gateway.close();
  await redis.close();
});

/** What is answered where Redis and the gateway would not, or not on demand. */
let server: Server;
let answer: RequestListener;
let requests: number;
let serverUrl: string;

beforeEach(async () => {
  requests = 0;
  server = createServer((request, response) => {
    requests++;
    request.resume().on("end", () => answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  serverUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function lean(url: string, token: string): Redis {
  return new Redis({ url, token, automaticDeserialization: false, retry: { retries: 0 }, enableAutoPipelining: false });
}

const kinds: readonly [string, (url: string, token: string) => ReadStore][] = [
  ["fetch alone", (url, token) => createUpstashStore({ url, token, timeoutMs: TIMEOUT_MS })],
  ["a client of @upstash/redis", (url, token) => fromUpstash(lean(url, token), { timeoutMs: TIMEOUT_MS })],
];

async function refusalOf(call: Promise<unknown>): Promise<Error> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "unavailable", retryAfterSeconds: 1 });
  return error as Error;
}

describe.each(kinds)("a store over %s", (_, create) => {
  let store: ReadStore;
  beforeEach(async () => {
    await redis.cli("FLUSHALL");
    store = create(gateway.url, READ_ONLY_TOKEN);
  });

  it("gives values as they were stored, in their order, and tells a missing one from an empty one", async () => {
    const document = '{"a":[],"tags":["é🚀\\u2028"],"n":12345678901234567,"b64":"T0s="}';
    await redis.cli("MSET", "document", document, "empty", "", "number", "42");
    expect(await store.mget(["number", "missing", "document", "empty"])).toEqual(["42", undefined, document, ""]);
    expect(await store.get("document")).toBe(document);
    expect(await store.get("missing")).toBeUndefined();
  });

  it("gives a value of megabytes whole", async () => {
    const value = JSON.stringify({ text: "é".repeat(1_000_000) });
    await redis.cli(
      "EVAL",
      "redis.call('SET', 'big', ARGV[1] .. string.rep('é', 1000000) .. ARGV[2])",
      "0",
      '{"text":"',
      '"}',
    );
    expect(await store.get("big")).toBe(value);
  });

  it("tells Redis' refusal by its code alone, and a wrong token without it", async () => {
    await redis.cli("RPUSH", "a-secret-list", "a-secret-element");
    const refusal = await refusalOf(store.get("a-secret-list"));
    expect(refusal.message).toBe("Redis refused a command (WRONGTYPE).");
    const wrong = await refusalOf(create(gateway.url, "a-secret-token").get("k"));
    for (const error of [refusal, wrong]) {
      expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(/a-secret|127\.0\.0\.1/);
    }
  });

  it("finds out whether its token may write, and writes nothing", async () => {
    await redis.cli("SET", "k", "v", "EX", "1000");
    const changes = () =>
      redis.cli("INFO", "persistence").then((info) => /rdb_changes_since_last_save:(\d+)/.exec(info)?.[1]);
    const before = await changes();
    expect(await store.mayWrite?.(vacantKey("default"))).toBe(false);
    expect(await create(gateway.url, TOKEN).mayWrite?.(vacantKey("default"))).toBe(true);
    expect(await changes()).toBe(before);
    await refusalOf(create(gateway.url, "a-wrong-token").mayWrite?.("k") ?? Promise.resolve());
  });

  it("gives up in time on a Redis that hangs, before an answer or within it", async () => {
    for (const begun of [false, true]) {
      answer = (_request, response) => void (begun && response.writeHead(200).write('{"result":"'));
      const startedAt = performance.now();
      await refusalOf(create(serverUrl, "t").get("k"));
      expect(performance.now() - startedAt).toBeLessThan(TIMEOUT_MS + 1000);
    }
  });

  it.each([
    [200, '{"result":7}'],
    [200, '"a-secret"'],
    [200, "{}"],
    [200, "<html>a-secret</html>"],
    [204, ""],
    [401, '{"error":"Unauthorized a-secret"}'],
    [429, "a-secret"],
    [500, '{"result":null}'],
    [502, "<html>a-secret</html>"],
    [503, '{"error":"LOADING a-secret"}'],
  ])("takes HTTP %d with %j for no answer, and never for a missing key", async (status, body) => {
    answer = (_request, response) => void response.writeHead(status).end(body);
    const strange = create(serverUrl, "t");
    for (const call of [() => strange.get("k"), () => strange.mget(["k"])]) {
      const error = await refusalOf(call());
      expect(`${error.stack} ${String(error.cause)}`).not.toContain("a-secret");
    }
  });

  it("takes fewer or more values than keys for no answer", async () => {
    for (const result of [[], ["a", "b"]]) {
      answer = (_request, response) => void response.end(JSON.stringify({ result }));
      expect((await refusalOf(create(serverUrl, "t").mget(["k"]))).message).toContain("unexpected form");
    }
  });

  it("is not asked for more keys at once than one answer may weigh", async () => {
    const keys = Array.from({ length: MGET_KEYS_MAX + 1 }, (_value, index) => `k${index}`);
    await expect(store.mget(keys)).rejects.toThrow(RangeError);
    expect(await store.mget(keys.slice(1))).toHaveLength(MGET_KEYS_MAX);
  });
});

describe("a store over fetch alone", () => {
  it("follows no redirection: a token is not carried to where it was not meant for", async () => {
    answer = (_request, response) => void response.writeHead(307, { location: `${serverUrl}/elsewhere` }).end();
    expect((await refusalOf(createUpstashStore({ url: serverUrl, token: "t" }).get("k"))).message).toContain(
      "HTTP 307",
    );
    expect(requests).toBe(1);
  });

  it("takes an object for no answer, which the client would take for a missing key", async () => {
    answer = (_request, response) => void response.end('{"result":{"a":1}}');
    await expect(createUpstashStore({ url: serverUrl, token: "t" }).get("k")).rejects.toThrow("unexpected form");
  });

  it("reads no further than an isolate could hold", async () => {
    let sentBytes = 0;
    answer = (_request, response) => {
      const chunk = Buffer.alloc(1024 * 1024, 0x61);
      const send = () => {
        if (response.destroyed) return;
        sentBytes += chunk.length;
        if (response.write(chunk)) setImmediate(send);
        else response.once("drain", send);
      };
      response.write('{"result":"');
      send();
    };
    const store = createUpstashStore({ url: serverUrl, token: "t", timeoutMs: 20_000 });
    expect((await refusalOf(store.get("k"))).message).toContain("over 33554432 bytes");
    expect(sentBytes).toBeLessThan(64 * 1024 * 1024);
  });
});

describe("a client of @upstash/redis", () => {
  const connection = { url: "http://127.0.0.1:1", token: "t" };

  it.each([
    ["with its defaults", new Redis(connection), "automaticDeserialization: false"],
    [
      "whose signal is an object",
      new Redis({ ...connection, automaticDeserialization: false, signal: AbortSignal.timeout(1000) }),
      "signal: () =>",
    ],
  ])("is refused %s, which would take failures for missing keys or documents for something else", (_, client, fix) => {
    expect(() => fromUpstash(client)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    expect(() => fromUpstash(client)).toThrow(fix);
  });

  it("may keep its other defaults: it pipelines, asks for base64 and tries again", async () => {
    await redis.cli("SET", "document", '{"a":"é"}');
    const store = fromUpstash(new Redis({ url: gateway.url, token: READ_ONLY_TOKEN, automaticDeserialization: false }));
    expect(await Promise.all([store.get("document"), store.mget(["missing", "document"])])).toEqual([
      '{"a":"é"}',
      [undefined, '{"a":"é"}'],
    ]);
  });

  it("is refused by its answers where it does not show how it was made", async () => {
    const hidden = {
      get: () => Promise.resolve({}),
      mget: () => Promise.resolve([{}]),
      persist: () => Promise.resolve(0),
    };
    expect((await refusalOf(fromUpstash(hidden).get("k"))).message).toContain("automaticDeserialization: false");
    expect((await refusalOf(fromUpstash(hidden).mget(["k"]))).message).toContain("automaticDeserialization: false");
  });
});

describe("a resolver", () => {
  /** Looks twice, the second time when its credentials are judged; gives what it warned of, and what it asked for it. */
  async function live(store: ReadStore): Promise<{ warned: string[]; told: string[] }> {
    const clock = createManualClock();
    const [warned, told, behind]: [string[], string[], Promise<unknown>[]] = [[], [], []];
    const resolver = createResolver({
      access: { type: "open" },
      store,
      clock,
      log: {
        info: (_fields, message) => void told.push(message),
        warn: (_fields, message) => void warned.push(message),
        error: (_fields, message) => void warned.push(message),
      },
    });
    const look = async () => {
      await resolver.fetch(new Request("http://r/readyz"), { background: (work) => void behind.push(work) });
      while (behind.length > 0) await behind.pop();
    };
    await look();
    expect(await redis.commandCount("persist")).toBe(asked);
    await clock.advance(10_000);
    await look();
    await clock.advance(10_000);
    await look();
    return { warned: warned.filter((message) => message.includes("may write")), told };
  }
  let asked: number;
  beforeEach(async () => {
    asked = await redis.commandCount("persist");
  });

  it("works with the read-only token, and has nothing to say of it", async () => {
    const store = createUpstashStore({ url: gateway.url, token: READ_ONLY_TOKEN });
    expect(await live(store)).toMatchObject({ warned: [] });
  });

  it("says once, behind its answers, that it was given a token that may write, and which it should have", async () => {
    const store = createUpstashStore({ url: gateway.url, token: TOKEN });
    expect((await live(store)).warned).toEqual([
      expect.stringContaining("set UPSTASH_REDIS_REST_TOKEN to the read-only token"),
    ]);
    expect(await redis.commandCount("persist")).toBe(asked + 1);
  });

  it("does not call credentials wrong that it could not judge", async () => {
    const store = createUpstashStore({ url: gateway.url, token: TOKEN });
    const unsure = { ...store, mayWrite: () => Promise.reject(new Error("away")) };
    const { warned, told } = await live(unsure);
    expect({ warned, told }).toEqual({ warned: [], told: [expect.stringContaining("could not be found out")] });
  });
});
