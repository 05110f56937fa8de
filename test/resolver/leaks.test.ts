import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { createWorker } from "../../src/cloudflare/index.ts";
import { optionsOf } from "../../src/compose.ts";
import { parseEnv } from "../../src/env.ts";
import type { ResolverLog } from "../../src/log.ts";
import { createResolver, type Resolver } from "../../src/resolver.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { instance } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { signingKey, signToken, startIssuer, type Issuer } from "./issuer.ts";
import { connectWriter, createTestPublisher } from "./publish.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

const KEY = "caller-key-5b1e0c";
const WRONG = "wrong-caller-key-77aa3d";
/** Short, since the error of a JSON parser quotes the first characters. */
const IN_ANSWER = "b3hind";
const COMMAND = "mget";
const ec = signingKey("ES256", "ec");

let redis: TestRedis;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let upstream: Upstream;
let issuer: Issuer;
let clock: ManualClock;
/** All that was answered and logged: neither may hold any of `secrets`. */
let told: string[];
let secrets: string[];

beforeAll(async () => {
  [redis, issuer] = await Promise.all([startTestRedis(), startIssuer()]);
  upstream = await startUpstream(redis.readOnlyUrl);
  writer = await connectWriter(redis.url);
});

afterAll(async () => {
  await writer.close();
  await upstream.close();
  await Promise.all([issuer.close(), redis.close()]);
});

beforeEach(async () => {
  await redis.cli("FLUSHALL");
  upstream.mode({ type: "ok" });
  issuer.mode({ type: "ok" });
  issuer.keys = [ec.jwk];
  clock = createManualClock(Date.now());
  told = [];
  secrets = [
    KEY,
    WRONG,
    IN_ANSWER,
    COMMAND,
    "fp:{default}",
    upstream.token,
    new URL(upstream.url).host,
    new URL(issuer.url).host,
    new URL(issuer.url).pathname,
    // What a stranger could try next.
    await digestOf(KEY),
  ];
});

/** A secret as it is, and as it would look inside of what is encoded. */
function guises(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const inBase64 = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    // What stands before and after would change the first and the last characters.
    return text.slice(Math.ceil((before * 4) / 3), -2);
  });
  return [secret, encodeURIComponent(secret), bytes.toString("hex"), ...inBase64].flatMap((guise) => [
    guise.toLowerCase(),
    guise.replaceAll("+", "-").replaceAll("/", "_").toLowerCase(),
  ]);
}

function leaks(): readonly string[] {
  const all = told.join("\n").toLowerCase();
  return secrets.filter((secret) => guises(secret).some((guise) => all.includes(guise)));
}

const log: ResolverLog = { info: keep, warn: keep, error: keep };

function keep(fields: object, message: string): void {
  // As objects are shown, with causes and stacks, and as they are written.
  told.push(`${message} ${inspect(fields, { depth: 10 })} ${JSON.stringify(fields)}`);
}

async function digestOf(key: string): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(key))).toString("hex");
}

async function start(env: Record<string, string> = {}): Promise<Resolver> {
  const settings = parseEnv({
    UPSTASH_REDIS_REST_URL: upstream.url,
    UPSTASH_REDIS_REST_TOKEN: upstream.token,
    FINGERPOST_KEYS: `ci=${await digestOf(KEY)}@default/web+default/other`,
    FINGERPOST_JWKS_URL: issuer.url,
    FINGERPOST_JWT_ISSUER: "https://id.example.com",
    FINGERPOST_JWT_AUDIENCE: "fingerpost",
    FINGERPOST_BUDGET_MS: "50",
    FINGERPOST_COLD_BUDGET_MS: "100",
    ...env,
  });
  return createResolver({ ...optionsOf(settings), clock, log });
}

async function ask(resolver: Resolver, path: string, authorization = `Bearer ${KEY}`, method = "GET"): Promise<number> {
  const request = new Request(`http://resolver${path}`, { method, headers: { authorization } });
  const response = await resolver.fetch(request);
  told.push([...response.headers].join("\n"), await response.text());
  return response.status;
}

async function publish(): Promise<void> {
  const publisher = createTestPublisher((values) => writer.write(values), { now: () => clock.now() });
  publisher.services.set("web", [instance("web-1")]);
  await publisher.fill();
}

const PATHS = ["/v1/services/web", "/v1/services/web/pick", "/v1/services", "/v1/resolve?service=web", "/readyz"];

it.each(["as it is", "in percent", "in hex", "in base64", "in base64url, within more"])(
  "the test finds a secret %s",
  (guise) => {
    const secret = "a?secret>~ÿ1";
    const shown = new Map([
      ["as it is", `"${secret}"`],
      ["in percent", `?x=${encodeURIComponent(secret)}`],
      ["in hex", Buffer.from(secret).toString("hex")],
      ["in base64", Buffer.from(`x${secret}`).toString("base64")],
      ["in base64url, within more", Buffer.from(`user:${secret}@host`).toString("base64url")],
    ]);
    secrets = [secret];
    told = [shown.get(guise) ?? ""];
    expect(leaks()).toEqual([secret]);
  },
);

describe("no answer and no line of the log has a secret", () => {
  it.each<[string, Parameters<Upstream["mode"]>[0]]>([
    ["hangs", { type: "hang" }],
    ["resets connections", { type: "reset" }],
    ["refuses the token", { type: "fail", status: 401, body: `{"error":"WRONGPASS ${IN_ANSWER}"}` }],
    ["refuses the command", { type: "fail", status: 400, body: `{"error":"NOPERM ${IN_ANSWER}, command was: mget"}` }],
    ["breaks", { type: "fail", status: 500, body: IN_ANSWER }],
    ["is a page", { type: "fail", status: 200, body: `<html>${IN_ANSWER}</html>` }],
    ["answers another form", { type: "fail", status: 200, body: `{"result":{"${IN_ANSWER}":1}}` }],
    [
      "answers documents that are none",
      { type: "fail", status: 200, body: `{"result":["${IN_ANSWER}","${IN_ANSWER}"]}` },
    ],
  ])("when Redis %s", async (_, mode) => {
    upstream.mode(mode);
    const resolver = await start();
    for (const path of PATHS) expect(await ask(resolver, path)).toBe(503);
    expect(told.length).toBeGreaterThan(PATHS.length * 2);
    expect(leaks()).toEqual([]);
  });

  it("when Redis cannot be reached, and when it is told another token", async () => {
    const closed = await startIssuer();
    await closed.close();
    secrets.push(new URL(closed.url).host, "another-redis-token");
    const away = await start({ UPSTASH_REDIS_REST_URL: closed.url });
    const refused = await start({ UPSTASH_REDIS_REST_TOKEN: "another-redis-token" });
    for (const path of PATHS) expect([await ask(away, path), await ask(refused, path)]).toEqual([503, 503]);
    expect(leaks()).toEqual([]);
  });

  it.each([
    ["a head", headKey("default")],
    ["a snapshot", serviceKey("default", "web")],
    ["a catalog", catalogKey("default")],
  ])("when %s in Redis is not what it should be", async (_, key) => {
    for (const text of [IN_ANSWER, `{"${IN_ANSWER}":"${IN_ANSWER}"}`]) {
      await publish();
      const stored = await redis.cli("GET", key);
      await writer.write({ [key]: text });
      const resolver = await start();
      for (const path of PATHS) await ask(resolver, path);
      await writer.write({ [key]: stored.replace(/"schema":\d+/, `"schema":"${IN_ANSWER}"`) });
      const other = await start();
      for (const path of PATHS) await ask(other, path);
    }
    expect(told.some((line) => /tells nothing|refused|cannot be used/.test(line))).toBe(true);
    expect(leaks()).toEqual([]);
  });

  it("when a credential is refused, whatever it is", async () => {
    await publish();
    const resolver = await start();
    const now = Math.floor(clock.now() / 1000);
    const claims = { iss: "https://id.example.com", aud: "fingerpost", exp: now + 60, scope: "fingerpost:default/web" };
    const tokens = [
      signToken(ec, { ...claims, exp: now - 1 }),
      signToken(ec, { ...claims, iss: "https://other.example.com" }),
      signToken(signingKey("ES256", "ec"), claims),
      signToken(ec, claims, { kid: "unknown" }),
      signToken(ec, claims, { crit: ["x"] }),
      `${signToken(ec, claims)}x`,
    ];
    secrets.push(...tokens.flatMap((token) => token.split(".").slice(1)));
    for (const value of [
      `Bearer ${WRONG}`,
      `Basic ${btoa(`user:${KEY}`)}`,
      KEY,
      ...tokens.map((token) => `Bearer ${token}`),
    ]) {
      expect(await ask(resolver, "/v1/services/web", value)).toBe(401);
    }
    expect(leaks()).toEqual([]);
  });

  it("when the issuer of JWTs is away, redirects, hangs or shows no keys", async () => {
    await publish();
    const token = signToken(ec, { iss: "https://id.example.com", aud: "fingerpost", exp: 4e9 });
    secrets.push(...token.split("."));
    const closed = await startIssuer();
    await closed.close();
    secrets.push(new URL(closed.url).host);
    const away = await start({ FINGERPOST_JWKS_URL: closed.url });
    expect(await ask(away, "/v1/services/web", `Bearer ${token}`)).toBe(503);
    for (const [status, body] of [
      [500, IN_ANSWER],
      [200, IN_ANSWER],
      [200, `{"keys":"${IN_ANSWER}"}`],
      [302, ""],
    ] as const) {
      issuer.mode({ type: "answer", status, body, location: `http://${IN_ANSWER}/` });
      const resolver = await start();
      expect(await ask(resolver, "/v1/services/web", `Bearer ${token}`)).toBe(503);
    }
    issuer.mode({ type: "hang" });
    const { requests } = issuer;
    const hung = ask(await start(), "/v1/services/web", `Bearer ${token}`);
    await until("the issuer is asked", () => issuer.requests > requests);
    await clock.advance(2000);
    expect(await hung).toBe(503);
    issuer.answerHanging({});
    expect(told.filter((line) => line.includes("issuer's keys"))).toHaveLength(6);
    expect(leaks()).toEqual([]);
  });

  it("when a request is answered with whatever status a caller can bring about", async () => {
    await publish();
    const resolver = await start({ FINGERPOST_RATE_LIMIT: "9", FINGERPOST_CORS_ORIGINS: "*" });
    const statuses = [
      await ask(resolver, "/v1/services/web"),
      await ask(resolver, "/v1/services/other"),
      await ask(resolver, "/v1/services/hidden"),
      await ask(resolver, "/v1/services/%7B"),
      await ask(resolver, `/v1/services/web?version=${"x".repeat(200)}`),
      await ask(resolver, "/v1/nowhere"),
      await ask(resolver, "/v1/services/web", undefined, "POST"),
      await ask(resolver, "/v1/namespaces/shop/services/web"),
    ];
    expect(statuses).toEqual([200, 404, 403, 400, 400, 404, 405, 403]);
    while ((await ask(resolver, "/v1/services/web")) !== 429);
    expect(leaks()).toEqual([]);
  });

  it("when the Worker's variables are wrong: they are named, and their values are not told", async () => {
    for (const level of ["log", "warn", "error"] as const) {
      vi.spyOn(console, level).mockImplementation((...args: unknown[]) => void told.push(inspect(args)));
    }
    const env = {
      UPSTASH_REDIS_REST_URL: `http://${IN_ANSWER}.example.com`,
      UPSTASH_REDIS_REST_TOKEN: "",
      FINGERPOST_KEYS: `${KEY},ci=${KEY},ci=${await digestOf(KEY)}@${IN_ANSWER}`,
      FINGERPOST_OPEN: IN_ANSWER,
      FINGERPOST_JWKS_URL: `https://user:${IN_ANSWER}@id.example.com`,
      FINGERPOST_RATE_LIMIT: IN_ANSWER,
      FINGERPOST_CORS_ORIGINS: IN_ANSWER,
      FINGERPOST_NAMESPACES: `{${IN_ANSWER}`,
      FINGERPOST_DEPLOYMENT: `{${IN_ANSWER}`,
      FINGERPOST_FRESH_MS: IN_ANSWER,
      FINGERPOST_PUBLIC_KEYS: IN_ANSWER,
    };
    const response = await createWorker().fetch(new Request("http://resolver/v1/services/web"), env, {
      waitUntil() {},
    });
    told.push([...response.headers].join("\n"), await response.text());
    vi.restoreAllMocks();
    expect(response.status).toBe(500);
    const named = Object.keys(env).filter((name) => told.join("\n").includes(name));
    expect(Object.keys(env).filter((name) => !named.includes(name))).toEqual([]);
    expect(leaks()).toEqual([]);
  });
});
