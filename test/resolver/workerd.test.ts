import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { HEADER_AGE_MS, HEADER_SOURCE, HEADER_STALE } from "../../contract/http.ts";
import { sha256 } from "../../kernel/secret.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { createKeySeal } from "./sealed.ts";
import { publicTextOf, SIGNING_KEY } from "../support/signing.ts";
import { serviceKey } from "../../contract/redis-keys.ts";
import { connectWriter, createTestPublisher, type TestPublisher } from "./publish.ts";
import { createConformance, type JsonObject } from "./conformance.ts";
import { rawGet } from "./sockets.ts";
import { startUpstream, type Upstream } from "./upstream.ts";
import { buildWorker, startWorker, type TestWorker } from "./workerd.ts";
import { instance } from "../support/instance.ts";

/** Short times, so that a test sees every level within a second; the budget is the default one. */
const QUICK = { FINGERPOST_FRESH_MS: "100", FINGERPOST_SWR_MS: "200", FINGERPOST_BUDGET_MS: "250" };
/** The budget, and what busy cores may add. A lookup that waited for Redis to time out would take 2,000. */
const WITHIN_MS = 250 + 750;

let redis: TestRedis;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let upstream: Upstream;
let script: string;
let publisher: TestPublisher;
const workers: TestWorker[] = [];

beforeAll(async () => {
  [redis, script] = await Promise.all([startTestRedis(), buildWorker()]);
  upstream = await startUpstream(redis.readOnlyUrl);
  writer = await connectWriter(redis.url);
});

afterAll(async () => {
  await writer.close();
  await upstream.close();
  await redis.close();
});

beforeEach(async () => {
  await redis.cli("FLUSHALL");
  upstream.mode({ type: "ok" });
  publisher = createTestPublisher((values) => writer.write(values), { now: () => Date.now() });
  publisher.services.set("web", [instance("web-1"), instance("web-2")]);
  publisher.services.set("api", [instance("api-1")]);
  await publisher.fill();
  upstream.commands.length = 0;
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((started) => started.close()));
});

async function worker(env: Record<string, string> = {}, coloDir?: string): Promise<TestWorker> {
  const started = await startWorker({
    script,
    env: {
      UPSTASH_REDIS_REST_URL: upstream.url,
      UPSTASH_REDIS_REST_TOKEN: upstream.token,
      FINGERPOST_OPEN: "true",
      ...env,
    },
    ...(coloDir === undefined ? {} : { coloDir }),
  });
  workers.push(started);
  return started;
}

interface Answer {
  readonly status: number;
  readonly source: string | null;
  readonly stale: string | null;
  readonly ageMs: number;
  readonly tookMs: number;
  readonly ids: readonly string[];
  readonly response: Response;
}

async function lookup({ url }: TestWorker, service: string, init: RequestInit = {}): Promise<Answer> {
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/services/${service}`, init);
  const text = await response.text();
  const body = text === "" ? {} : (JSON.parse(text) as { instances?: { id: string }[] });
  return {
    status: response.status,
    source: response.headers.get(HEADER_SOURCE),
    stale: response.headers.get(HEADER_STALE),
    ageMs: Number(response.headers.get(HEADER_AGE_MS)),
    tookMs: performance.now() - startedAt,
    ids: (body.instances ?? []).map(({ id }) => id),
    response,
  };
}

describe("a crowd", () => {
  it("asking for many services at once is told of each by its own headers, as one by one", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `s-${index}`);
    for (const name of names) await publisher.put(name, [instance(`${name}-1`, { tags: ["blue"] })]);
    const { url } = await worker({ FINGERPOST_FRESH_MS: "60000", FINGERPOST_SWR_MS: "60000" });
    const ask = async (path: string) => {
      const { status, headers, text } = await fetch(`${url}/v1/services/${path}`).then(async (response) => ({
        status: response.status,
        headers: response.headers,
        text: await response.text(),
      }));
      const { service, revision } = JSON.parse(text) as { service: string; revision: number };
      return [status, service, headers.get("etag"), Number(headers.get("fingerpost-revision")) === revision, text];
    };
    const paths = names.flatMap((name) =>
      ["", "?tag=blue", "?near=auto", "/pick", "/pick?key=k"].map((end) => name + end),
    );
    const oneByOne: unknown[] = [];
    for (const path of paths) oneByOne.push(await ask(path));
    for (let round = 0; round < 3; round++) expect(await Promise.all(paths.map(ask))).toEqual(oneByOne);
    expect(oneByOne.every((answer) => Array.isArray(answer) && answer[0] === 200 && answer[3] === true)).toBe(true);
    // Each service's lookups are alike, and so are its picks: it has one instance.
    expect(new Set(oneByOne.map((answer) => JSON.stringify(answer))).size).toBe(2 * names.length);
  });

  it("of 1,000 for a cold service makes one request to Redis, though its first client hangs up", async () => {
    upstream.mode({ type: "ok", delayMs: 1000 });
    const { port } = await worker({ FINGERPOST_FRESH_MS: "60000", FINGERPOST_COLD_BUDGET_MS: "20000" });
    const first = rawGet(port, "/v1/services/web");
    const hungUp = first.answer.then(
      () => "answered",
      () => "hung up",
    );
    await until("Redis is asked", () => upstream.commands.length === 1);
    const others = Array.from({ length: 999 }, () => rawGet(port, "/v1/services/web").answer);
    first.socket.resetAndDestroy();
    const answers = await Promise.all(others);
    expect(await hungUp).toBe("hung up");
    expect(answers.filter(({ status, body }) => status === 200 && body.includes('"web-2"'))).toHaveLength(999);
    expect(upstream.commands).toEqual([["mget", "fp:{default}:head", "fp:{default}:s:web"]]);
  });

  it("whose first client hangs up while Redis hangs is answered within the budget, and finds Redis when it is back", async () => {
    const started = await worker(QUICK);
    await lookup(started, "web");
    upstream.mode({ type: "hang" });
    upstream.commands.length = 0;
    await until("what is held is too old", async () => (await lookup(started, "web")).stale === "true");
    await until("a reading hangs", () => upstream.commands.length > 0);
    const first = rawGet(started.port, "/v1/services/web");
    first.answer.catch(() => undefined);
    const answers = Array.from({ length: 50 }, () => lookup(started, "web"));
    first.socket.resetAndDestroy();
    for (const { status, source, tookMs } of await Promise.all(answers)) {
      expect({ status, source }).toEqual({ status: 200, source: "last-known-good" });
      expect(tookMs).toBeLessThan(WITHIN_MS);
    }
    upstream.mode({ type: "ok" });
    await until("the answer is fresh", async () => (await lookup(started, "web")).stale === "false");
  });

  it("asking for 10,000 names that do not exist costs Redis a handful of commands", async () => {
    const { url } = await worker();
    const wrong: number[] = [];
    const names = Array.from({ length: 10_000 }, (_, index) => `made-up-${index}`);
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        for (let name = names.pop(); name !== undefined; name = names.pop()) {
          const response = await fetch(`${url}/v1/services/${name}`);
          await response.arrayBuffer();
          if (response.status !== 404) wrong.push(response.status);
        }
      }),
    );
    expect(wrong).toEqual([]);
    const heads = upstream.commands.filter(([command]) => command === "get");
    // Besides the one head a second that every isolate reads.
    expect(upstream.commands.length - heads.length).toBeLessThanOrEqual(12);
  }, 120_000);
});

describe("last-known-good", () => {
  it("outlives a Redis that is killed and comes back empty, and no held service turns unknown meanwhile", async () => {
    const started = await worker(QUICK);
    await lookup(started, "web");
    await redis.kill();
    await until("it is marked", async () => (await lookup(started, "web")).source === "last-known-good");
    await redis.start();
    const cold = await until("Redis answers, empty", async () => {
      const answer = await lookup(started, "api");
      return answer.status === 503 && upstream.commands.length > 0 ? answer : undefined;
    });
    expect(cold.response.headers.get("retry-after")).toBe("1");
    expect(await lookup(started, "web")).toMatchObject({ status: 200, stale: "true", ids: ["web-1", "web-2"] });

    // The publisher claims over nothing, and fills.
    publisher.epoch = 2;
    await until("the writer is connected again", async () => {
      await publisher.writeHead({ complete: false, services: 0, ring: { floor: 0, entries: [] } });
      return true;
    });
    expect(await lookup(started, "web")).toMatchObject({ status: 200, ids: ["web-1", "web-2"] });
    expect((await lookup(started, "api")).status).toBe(503);
    expect((await lookup(started, "unheard-of")).status).toBe(503);
    await publisher.fill();
    await until("fresh", async () => (await lookup(started, "web")).stale === "false");
    await until("filled", async () => (await lookup(started, "api")).status === 200);
    await until("absence is known again", async () => (await lookup(started, "unheard-of")).status === 404);
  });

  it("is found in the colo cache by an isolate that never reached Redis", async () => {
    const coloDir = mkdtempSync(join(tmpdir(), "fingerpost-colo-"));
    const first = await worker(QUICK, coloDir);
    await lookup(first, "web");
    upstream.mode({ type: "hang" });
    const second = await worker(QUICK, coloDir);
    await until("the colo's copy", async () => {
      const answer = await lookup(second, "web");
      return answer.status === 200 && answer.source === "last-known-good" && answer.ids.length === 2;
    });
    expect((await lookup(second, "api")).status).toBe(503);
    rmSync(coloDir, { recursive: true, force: true });
  });
});

describe("the colo cache", () => {
  it("spares Redis the cold lookups of further isolates while it is fresh", async () => {
    const coloDir = mkdtempSync(join(tmpdir(), "fingerpost-colo-"));
    const slow = { FINGERPOST_FRESH_MS: "30000", FINGERPOST_SWR_MS: "30000" };
    const first = await worker(slow, coloDir);
    await lookup(first, "web");
    upstream.commands.length = 0;
    const second = await worker(slow, coloDir);
    expect(await lookup(second, "web")).toMatchObject({ status: 200, source: "colo", ids: ["web-1", "web-2"] });
    expect(upstream.commands).toEqual([]);
    const other = await worker({ ...slow, FINGERPOST_DEPLOYMENT: "staging" }, coloDir);
    expect(await lookup(other, "web")).toMatchObject({ status: 200, source: "redis" });
    rmSync(coloDir, { recursive: true, force: true });
  });
});

describe("access", () => {
  it("is asked for before memory and before a 304", async () => {
    const digest = Buffer.from(await sha256("secret-key")).toString("hex");
    const started = await worker({ FINGERPOST_OPEN: "", FINGERPOST_KEYS: `ci=${digest}` });
    const authorization = "Bearer secret-key";
    const { response } = await lookup(started, "web", { headers: { authorization } });
    const etag = response.headers.get("etag") ?? "";
    const known = await lookup(started, "web", { headers: { authorization, "if-none-match": etag } });
    expect(known.status).toBe(304);
    for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: "Basic secret-key" }]) {
      const refused = await lookup(started, "web", { headers: { ...headers, "if-none-match": etag } });
      expect(refused.status).toBe(401);
      expect(refused.response.headers.get("www-authenticate")).toContain("Bearer");
      expect(refused.response.headers.get("etag")).toBeNull();
    }
  });
});

describe("the OpenAPI document", () => {
  it("says what the Worker answers, and nothing else is answered", async () => {
    const { url } = await worker();
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as JsonObject;
    const conformance = createConformance(document);
    const etag = (await fetch(`${url}/v1/services/web`)).headers.get("etag") ?? "";
    const asked: readonly [answered: string, path: string, init?: RequestInit][] = [
      ["service 200", "/v1/services/web"],
      ["service 304", "/v1/services/web", { headers: { "if-none-match": etag } }],
      ["serviceInNamespace 404", "/v1/namespaces/default/services/nope"],
      ["pick 200", "/v1/services/web/pick?key=a"],
      ["watch 200", "/v1/services/web/watch?revision=0"],
      ["resolve 200", "/v1/resolve?service=web&service=nope"],
      ["services 400", "/v1/services?limit=0"],
      ["services default", "/v1/services", { method: "PUT" }],
      ["healthz 200", "/healthz"],
      ["readyz 200", "/readyz"],
      ["openapi 200", "/openapi.json"],
      ["docs 200", "/docs"],
    ];
    for (const [answered, path, init] of asked) {
      expect(await conformance.check(path, await fetch(url + path, init))).toBe(answered);
    }
  });
});

describe("a Worker with public keys", () => {
  it("serves a crowd what was signed, by one request, and neither what was not nor what was changed", async () => {
    const seal = await createKeySeal(SIGNING_KEY, () => Date.now());
    const sealed = createTestPublisher(
      (values) => writer.write(Object.fromEntries(Object.entries(values).map(([key, text]) => [key, seal(key, text)]))),
      { now: () => Date.now() },
    );
    sealed.services.set("web", [instance("web-1")]);
    await sealed.fill();
    const started = await worker({ ...QUICK, FINGERPOST_PUBLIC_KEYS: publicTextOf(SIGNING_KEY) });
    upstream.commands.length = 0;
    const crowd = await Promise.all(Array.from({ length: 200 }, () => lookup(started, "web")));
    for (const answer of crowd) expect(answer).toMatchObject({ status: 200, ids: ["web-1"], stale: "false" });
    expect(upstream.commands).toHaveLength(1);

    await sealed.put("web", [instance("web-2")]);
    const key = serviceKey("default", "web");
    const good = await redis.cli("GET", key);
    for (const forged of [good.replace("127.0.0.1", "127.0.0.9"), sealed.snapshotText("web")]) {
      await redis.cli("SET", key, forged);
      await until("it is refused", async () => (await lookup(started, "web")).stale === "true");
      expect(await lookup(started, "web")).toMatchObject({ source: "last-known-good", ids: ["web-1"] });
    }
    await redis.cli("SET", key, good);
    await until("the good one is served", async () => (await lookup(started, "web")).ids[0] === "web-2");
  });
});

describe("a Worker with a wrong environment", () => {
  it("answers nothing but what is wrong, by name and without values", async () => {
    const started = await worker({
      UPSTASH_REDIS_REST_URL: "redis-token-in-the-wrong-place",
      FINGERPOST_OPEN: "",
      FINGERPOST_NAMESPACES: "default,_bad",
      FINGERPOST_FRESH_MS: "soon",
    });
    const response = await fetch(`${started.url}/v1/services/web`);
    expect(response.status).toBe(500);
    const text = await response.text();
    const { errors } = JSON.parse(text) as { errors: { parameter: string }[] };
    expect(errors.map(({ parameter }) => parameter).toSorted()).toEqual([
      "FINGERPOST_FRESH_MS",
      "FINGERPOST_KEYS",
      "FINGERPOST_NAMESPACES",
      "UPSTASH_REDIS_REST_URL",
    ]);
    expect(text).not.toMatch(/wrong-place|soon|_bad/);
  });
});
