import { expect, it } from "vitest";
import { FingerpostError } from "../kernel/errors.ts";
import { publicTextOf, SIGNING_KEY, SIGNING_KEY_NEXT } from "../test/support/signing.ts";
import { parseEnv } from "./env.ts";
import type { Env } from "./env-reader.ts";
import { FRESHNESS_DEFAULT, WATCHERS_MAX_DEFAULT } from "./options.ts";

const digest = "ab".repeat(32);
const publicKey = publicTextOf(SIGNING_KEY);
const publicKeyNext = publicTextOf(SIGNING_KEY_NEXT);
const least: Env = {
  UPSTASH_REDIS_REST_URL: "https://redis.example.com",
  UPSTASH_REDIS_REST_TOKEN: "token",
  FINGERPOST_KEYS: `ci=${digest}`,
};

const JWKS_URL = "https://id.example.com/keys";
const jwt = {
  FINGERPOST_JWKS_URL: JWKS_URL,
  FINGERPOST_JWT_ISSUER: "https://id.example.com",
  FINGERPOST_JWT_AUDIENCE: "fp",
};

function wrong(env: Env): readonly string[] {
  try {
    parseEnv(env);
  } catch (error) {
    if (error instanceof FingerpostError) return error.violations.map(({ parameter = "" }) => parameter);
  }
  return [];
}

it("what is left out takes its default", () => {
  expect(parseEnv(least)).toEqual({
    redisUrl: "https://redis.example.com",
    redisToken: "token",
    access: { type: "keys", keys: [{ name: "ci", digest: new Uint8Array(32).fill(0xab) }] },
    rateLimit: {},
    corsOrigins: [],
    namespaces: ["default"],
    deployment: "fingerpost",
    freshness: FRESHNESS_DEFAULT,
    near: new Map(),
    watchersMax: WATCHERS_MAX_DEFAULT,
    publicKeys: [],
    unread: [],
  });
});

it("every variable takes effect", () => {
  expect(
    parseEnv({
      ...least,
      FINGERPOST_KEYS: "",
      FINGERPOST_OPEN: "true",
      FINGERPOST_RATE_LIMIT: "50",
      FINGERPOST_CORS_ORIGINS: "https://a.example.com, http://localhost:5173",
      FINGERPOST_NAMESPACES: "shop, default",
      FINGERPOST_DEPLOYMENT: "staging",
      FINGERPOST_FRESH_MS: "100",
      FINGERPOST_SWR_MS: "200",
      FINGERPOST_BUDGET_MS: "50",
      FINGERPOST_COLD_BUDGET_MS: "500",
      FINGERPOST_NEAR: "FRA=eu-central-1/eu-central-1a",
      FINGERPOST_WATCHERS_MAX: "7",
      FINGERPOST_PUBLIC_KEYS: `${publicKey}, ${publicKeyNext}`,
    }),
  ).toMatchObject({
    access: { type: "open" },
    rateLimit: { perSecond: 50 },
    corsOrigins: ["https://a.example.com", "http://localhost:5173"],
    namespaces: ["shop", "default"],
    deployment: "staging",
    freshness: { freshMs: 100, swrMs: 200, budgetMs: 50, coldBudgetMs: 500 },
    near: new Map([["colo:FRA", { region: "eu-central-1", zone: "eu-central-1a" }]]),
    watchersMax: 7,
    publicKeys: [publicKey, publicKeyNext],
  });
});

it("JWTs are taken with their issuer and audience, beside keys or without any", () => {
  const rule = { jwksUrl: JWKS_URL, issuer: "https://id.example.com", audience: "fp" };
  expect(parseEnv({ ...least, ...jwt }).access).toMatchObject({ type: "keys", keys: [{ name: "ci" }], jwt: rule });
  expect(parseEnv({ ...least, ...jwt, FINGERPOST_KEYS: "" }).access).toEqual({ type: "keys", keys: [], jwt: rule });
});

it.each<[Env, string[]]>([
  [{}, ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "FINGERPOST_KEYS"]],
  [{ ...least, FINGERPOST_KEYS: undefined }, ["FINGERPOST_KEYS"]],
  [{ ...least, FINGERPOST_KEYS: `a=${digest},b=short` }, ["FINGERPOST_KEYS"]],
  [{ ...least, FINGERPOST_KEYS: `a=${digest}@default` }, ["FINGERPOST_KEYS"]],
  [{ ...least, FINGERPOST_KEYS: `a=${digest},b=${digest}@shop/*` }, ["FINGERPOST_KEYS"]],
  [
    { ...least, FINGERPOST_JWT_ISSUER: "i", FINGERPOST_JWT_AUDIENCE: "a" },
    ["FINGERPOST_JWT_ISSUER", "FINGERPOST_JWT_AUDIENCE"],
  ],
  [{ ...least, FINGERPOST_JWKS_URL: JWKS_URL }, ["FINGERPOST_JWT_ISSUER", "FINGERPOST_JWT_AUDIENCE"]],
  [{ ...least, ...jwt, FINGERPOST_JWKS_URL: "http://id.example.com/keys" }, ["FINGERPOST_JWKS_URL"]],
  [{ ...least, ...jwt, FINGERPOST_JWKS_URL: "https://user:pass@id.example.com" }, ["FINGERPOST_JWKS_URL"]],
  [{ ...least, ...jwt, FINGERPOST_KEYS: undefined, FINGERPOST_OPEN: "true" }, ["FINGERPOST_OPEN"]],
  [{ ...least, FINGERPOST_RATE_LIMIT: "0" }, ["FINGERPOST_RATE_LIMIT"]],
  [{ ...least, FINGERPOST_RATE_LIMIT: "1e3" }, ["FINGERPOST_RATE_LIMIT"]],
  [{ ...least, FINGERPOST_CORS_ORIGINS: "https://a.example.com/" }, ["FINGERPOST_CORS_ORIGINS"]],
  [{ ...least, FINGERPOST_CORS_ORIGINS: "*,https://a.example.com" }, ["FINGERPOST_CORS_ORIGINS"]],
  [{ ...least, FINGERPOST_CORS_ORIGINS: "null" }, ["FINGERPOST_CORS_ORIGINS"]],
  [{ ...least, FINGERPOST_OPEN: "yes" }, ["FINGERPOST_OPEN"]],
  [{ ...least, FINGERPOST_OPEN: "true" }, ["FINGERPOST_OPEN"]],
  [{ ...least, FINGERPOST_NAMESPACES: "a,,b" }, ["FINGERPOST_NAMESPACES"]],
  [{ ...least, FINGERPOST_DEPLOYMENT: "a/b" }, ["FINGERPOST_DEPLOYMENT"]],
  [{ ...least, FINGERPOST_PUBLIC_KEYS: `${publicKey},` }, ["FINGERPOST_PUBLIC_KEYS"]],
  [{ ...least, FINGERPOST_PUBLIC_KEYS: SIGNING_KEY }, ["FINGERPOST_PUBLIC_KEYS"]],
  [{ ...least, FINGERPOST_PUBLIC_KEYS: "" }, ["FINGERPOST_PUBLIC_KEYS"]],
  [
    { ...least, FINGERPOST_PUBLIC_KEYS: Array.from({ length: 17 }, () => publicKey).join() },
    ["FINGERPOST_PUBLIC_KEYS"],
  ],
  [{ ...least, FINGERPOST_BUDGET_MS: "1" }, ["FINGERPOST_BUDGET_MS"]],
  [{ ...least, FINGERPOST_WATCHERS_MAX: "0" }, ["FINGERPOST_WATCHERS_MAX"]],
  [{ ...least, FINGERPOST_FRESH_MS: "60001" }, ["FINGERPOST_FRESH_MS"]],
  [{ ...least, FINGERPOST_FRESH_MS: "1e3" }, ["FINGERPOST_FRESH_MS"]],
  [{ ...least, FINGERPOST_OPEN: "yes", FINGERPOST_NAMESPACES: "a/b" }, ["FINGERPOST_OPEN", "FINGERPOST_NAMESPACES"]],
  [{ ...least, FINGERPOST_FRESH_MS: "500", FINGERPOST_SWR_MS: "400" }, ["FINGERPOST_SWR_MS"]],
])("%j is refused, and all that is wrong is named", (env, expected) => {
  expect(wrong(env)).toEqual(expected);
});

it("the message alone names all that is wrong, for whoever prints no more of an error", () => {
  expect(() => parseEnv({ ...least, FINGERPOST_OPEN: "yes", FINGERPOST_NEAR: "x" })).toThrow(
    /FINGERPOST_OPEN must be true or false; FINGERPOST_NEAR /,
  );
});

it("variables that nothing reads are told, since they may be misspelt; those of others are not", () => {
  const env = { ...least, FINGERPOST_FRESHMS: "100", FINGERPOST_FRESH_MS: "100", OTHER: "x" };
  expect(parseEnv(env).unread).toEqual(["FINGERPOST_FRESHMS"]);
});

it("what was fresh for longer is served behind for as long, unless told otherwise", () => {
  expect(parseEnv({ ...least, FINGERPOST_FRESH_MS: "5000" }).freshness).toMatchObject({ freshMs: 5000, swrMs: 5000 });
});

it("no error holds a value, which may be a secret in the wrong place", () => {
  const secret = "a-secret";
  const env = { UPSTASH_REDIS_REST_URL: `https://u:${secret}@a`, FINGERPOST_KEYS: secret, FINGERPOST_OPEN: secret };
  const thrown = (() => {
    try {
      return parseEnv({ ...env, FINGERPOST_NAMESPACES: `${secret}/`, FINGERPOST_DEPLOYMENT: `${secret}/` });
    } catch (error) {
      return error as FingerpostError;
    }
  })();
  expect(thrown).toBeInstanceOf(FingerpostError);
  expect(JSON.stringify([thrown, (thrown as Error).message])).not.toContain(secret);
});

it.each([
  "http://redis.example.com",
  "https://user:password@redis.example.com",
  "http://127.0.0.1.example.com",
  "ftp://127.0.0.1",
  "redis.example.com",
])("Redis' token is never sent to %s, where others could read it", (url) => {
  expect(wrong({ ...least, UPSTASH_REDIS_REST_URL: url })).toEqual(["UPSTASH_REDIS_REST_URL"]);
});

it.each(["http://127.0.0.1:7071", "http://localhost:7071", "http://[::1]:7071"])("a gateway at %s is taken", (url) => {
  expect(parseEnv({ ...least, UPSTASH_REDIS_REST_URL: url }).redisUrl).toBe(url);
});
