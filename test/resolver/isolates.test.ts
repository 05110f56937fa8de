import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { HEADER_AGE_MS, HEADER_SOURCE, HEADER_STALE } from "../../contract/http.ts";
import { instance } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { startIsolates, type Isolate, type IsolateOptions, type Isolates } from "./isolates.ts";
import { connectWriter, createTestPublisher, type TestPublisher } from "./publish.ts";
import { rawGet, type RawAnswer } from "./sockets.ts";
import { startUpstream, type Mode, type Upstream } from "./upstream.ts";
import { buildWorker } from "./workerd.ts";

const FRESH_MS = 400;
const COLD_BUDGET_MS = 800;
/** What busy cores may add to a budget, with 200 answers at once; a lookup that waited for Redis to time out takes 2,000. */
const SLACK_MS = 1500;
const CROWD = 100;
/** What an upstream may do to a crowd; each ends with the isolate as it was before. */
const FAULTS: readonly (readonly [string, Mode])[] = [
  ["hangs", { type: "hang" }],
  ["answers late", { type: "ok", delayMs: 600 }],
  ["resets connections", { type: "reset" }],
  ["answers half", { type: "cut" }],
  ["fails", { type: "fail", status: 500, body: '{"error":"boom"}' }],
  ["asks to wait", { type: "fail", status: 429, body: '{"error":"too many requests"}' }],
  ["refuses the token", { type: "fail", status: 401, body: '{"error":"WRONGPASS"}' }],
  ["answers what is not JSON", { type: "fail", status: 200, body: "<html>gateway</html>" }],
  ["answers another form", { type: "fail", status: 200, body: '{"result":[1,{}]}' }],
  ["answers documents that are none", { type: "fail", status: 200, body: '{"result":"{}"}' }],
  ["answers 10 MB of nothing", { type: "fail", status: 200, body: `{"result":["${"x".repeat(10_000_000)}",null]}` }],
];
const COLD_NAMES = FAULTS.map((_, index) => `cold-${index}`);

let redis: TestRedis;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let upstream: Upstream;
let publisher: TestPublisher;
let isolates: Isolates<"a" | "b" | "c" | "d" | "crowded" | "copying" | "far">;

beforeAll(async () => {
  const [started, script] = await Promise.all([startTestRedis(), buildWorker()]);
  redis = started;
  upstream = await startUpstream(redis.readOnlyUrl);
  writer = await connectWriter(redis.url);
  publisher = createTestPublisher((values) => writer.write(values), { now: () => Date.now() });
  for (const name of ["web", "api", ...COLD_NAMES]) publisher.services.set(name, [instance(`${name}-1`)]);
  await publisher.fill();
  const env = {
    UPSTASH_REDIS_REST_URL: upstream.url,
    UPSTASH_REDIS_REST_TOKEN: upstream.token,
    FINGERPOST_OPEN: "true",
    FINGERPOST_FRESH_MS: String(FRESH_MS),
    FINGERPOST_SWR_MS: String(2 * FRESH_MS),
    // Busy cores take their time, and here nothing fails.
    FINGERPOST_COLD_BUDGET_MS: "10000",
  };
  const near: IsolateOptions = { env, colo: true, kv: false };
  const quick = {
    ...env,
    FINGERPOST_FRESH_MS: "100",
    FINGERPOST_SWR_MS: "200",
    FINGERPOST_COLD_BUDGET_MS: String(COLD_BUDGET_MS),
  };
  isolates = await startIsolates(script, {
    a: near,
    b: near,
    c: near,
    d: near,
    crowded: { env: { ...quick, FINGERPOST_DEPLOYMENT: "crowded" }, colo: true, kv: false },
    copying: { env: quick, colo: false, kv: true },
    far: { env: quick, colo: false, kv: true },
  });
});

afterAll(async () => {
  await isolates.close();
  await writer.close();
  await upstream.close();
  await redis.close();
});

beforeEach(async () => {
  upstream.mode({ type: "ok" });
  await confirm();
  upstream.commands.length = 0;
});

/** As a publisher does all the time: what it has not confirmed for ten seconds is stale. */
async function confirm(): Promise<void> {
  publisher.confirmedAt = Date.now();
  await publisher.writeHead();
}

async function lookup({ url }: Isolate, service: string, init: RequestInit = {}) {
  const response = await fetch(`${url}/v1/services/${service}`, init);
  const body = (await response.json()) as { instances?: { id: string }[] };
  return {
    status: response.status,
    source: response.headers.get(HEADER_SOURCE),
    stale: response.headers.get(HEADER_STALE),
    ageMs: Number(response.headers.get(HEADER_AGE_MS)),
    cacheStatus: response.headers.get("cache-status"),
    id: body.instances?.[0]?.id,
  };
}

const commandsOf = (name: string, key = "") =>
  upstream.commands.filter(([command, ...keys]) => command === name && (key === "" || keys.includes(key))).length;

describe("the isolates of a data centre", () => {
  const all = () => [isolates.by.a, isolates.by.b, isolates.by.c, isolates.by.d];

  /** Asks each of them for `web` all the time, until one reading a fresh interval would have been so many. */
  async function askFor(intervals: number) {
    const end = performance.now() + intervals * FRESH_MS;
    const answers: Awaited<ReturnType<typeof lookup>>[] = [];
    await Promise.all(
      all().map(async (isolate) => {
        await until("the time is over", async () => {
          answers.push(await lookup(isolate, "web"));
          return performance.now() >= end;
        });
      }),
    );
    return answers;
  }

  it("read one head a fresh interval between them, not each its own", async () => {
    const told = new Set<string>();
    // On busy cores some begin before another's reading is there, and a cache that is slow is left alone for 10 s.
    await until(
      "five intervals cost far less than the 20 heads of isolates that each read their own",
      async () => {
        await confirm();
        upstream.commands.length = 0;
        for (const { status, stale } of await askFor(5)) told.add(`${status} ${stale}`);
        const [heads, others] = [commandsOf("get"), commandsOf("mget")];
        if (heads < 2 || heads > 13 || others > 4) throw new Error(`${heads} heads, ${others} other readings`);
        return true;
      },
      { timeoutMs: 25_000 },
    );
    expect([...told]).toEqual(["200 false"]);
  });

  it("follow a change within the fresh interval, and none of them reads it twice", async () => {
    await askFor(1);
    upstream.commands.length = 0;
    await publisher.put("web", [instance("web-2")]);
    const publishedAt = performance.now();
    await Promise.all(
      all().map((isolate) => until("the change", async () => (await lookup(isolate, "web")).id === "web-2")),
    );
    expect(performance.now() - publishedAt).toBeLessThan(2 * FRESH_MS + SLACK_MS);
    expect(commandsOf("mget", "fp:{default}:s:web")).toBeLessThanOrEqual(all().length);
  });

  it("pay a handful of commands for thousands of names that do not exist, cold and warm", async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `made-up-${index}`);
    const wrong: unknown[] = [];
    const ask = async (isolate: Isolate) => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        const { status } = await lookup(isolate, name);
        if (status !== 404) wrong.push(status);
      }
    };
    await Promise.all(all().flatMap((isolate) => Array.from({ length: 5 }, () => ask(isolate))));
    expect(wrong).toEqual([]);
    // Besides the head that is read once a fresh interval.
    expect(commandsOf("mget")).toBeLessThanOrEqual(4 * 8);
    upstream.commands.length = 0;
    names.push(...Array.from({ length: 300 }, (_, index) => `made-up-again-${index}`));
    await Promise.all(all().flatMap((isolate) => Array.from({ length: 5 }, () => ask(isolate))));
    expect(wrong).toEqual([]);
    expect(commandsOf("mget")).toBe(0);
  });

  it("find a service that has just appeared within the fresh interval, and with no-cache at once", async () => {
    expect((await lookup(isolates.by.a, "new")).status).toBe(404);
    await publisher.put("new", [instance("new-1")]);
    expect(await lookup(isolates.by.b, "new", { headers: { "cache-control": "no-cache" } })).toMatchObject({
      status: 200,
      id: "new-1",
    });
    const publishedAt = performance.now();
    await until("it is found", async () => (await lookup(isolates.by.a, "new")).status === 200);
    expect(performance.now() - publishedAt).toBeLessThan(FRESH_MS + SLACK_MS);
  });
});

describe("a crowd whose first client hangs up", () => {
  it.each(FAULTS)("is answered within its budget while Redis %s, and nothing stays spoilt", async (fault, mode) => {
    const { crowded } = isolates.by;
    const cold = COLD_NAMES[FAULTS.findIndex(([name]) => name === fault)] ?? "";
    await until("what is held is fresh", async () => (await lookup(crowded, "web")).source === "memory");
    upstream.mode(mode);
    upstream.commands.length = 0;
    await until("what is held is marked", async () => (await lookup(crowded, "web")).source === "last-known-good");
    const owner = rawGet(crowded.port, `/v1/services/${cold}`);
    const gone = owner.answer.catch(() => undefined);
    const held = crowd(crowded, "web");
    const missed = crowd(crowded, cold);
    owner.socket.resetAndDestroy();
    for (const { answer, tookMs } of await held) {
      expect(answer).toMatchObject({ status: 200, body: expect.stringContaining('"web-') as string });
      expect(tookMs).toBeLessThan(250 + SLACK_MS);
    }
    for (const { answer, tookMs } of await missed) {
      expect([200, 503]).toContain(answer.status);
      expect(tookMs).toBeLessThan(COLD_BUDGET_MS + SLACK_MS);
    }
    await gone;
    // 200 lookups and their forerunners: readings that failed before the breaker opened, and its probes.
    expect(upstream.commands.length).toBeLessThanOrEqual(12);
    upstream.mode({ type: "ok" });
    await until("what was held is fresh", async () => (await lookup(crowded, "web")).source === "memory");
    await until("what was not is there", async () => (await lookup(crowded, cold)).id === `${cold}-1`);
  });

  interface Told {
    readonly answer: RawAnswer;
    readonly tookMs: number;
  }

  function crowd({ port }: Isolate, service: string): Promise<readonly Told[]> {
    return Promise.all(
      Array.from({ length: CROWD }, async () => {
        const startedAt = performance.now();
        const answer = await rawGet(port, `/v1/services/${service}`).answer;
        return { answer, tookMs: performance.now() - startedAt };
      }),
    );
  }
});

describe("a new isolate in a cold data centre", () => {
  it("answers from KV while Redis is down what another one was asked for, marked and of its age", async () => {
    const { copying, far } = isolates.by;
    expect((await lookup(copying, "api")).source).toBe("redis");
    // Readings go on, and with them what is to be copied.
    await until("a head is read", async () => (await lookup(copying, "api")).status === 200 && commandsOf("get") > 0);
    upstream.mode({ type: "reset" });
    const readBefore = performance.now();
    const [answer, ageMsMin] = await until("the copy, which has grown older", async () => {
      const sinceMs = performance.now() - readBefore;
      const found = await lookup(far, "api");
      return found.status === 200 && sinceMs > 500 && ([found, sinceMs] as const);
    });
    expect(answer).toMatchObject({ source: "last-known-good", stale: "true", id: "api-1" });
    expect(answer.ageMs).toBeGreaterThanOrEqual(Math.floor(ageMsMin));
    expect((await lookup(far, "unheard-of")).status).toBe(503);
    upstream.mode({ type: "ok" });
    await until("it is current again", async () => (await lookup(far, "api")).stale === "false");
  });
});
