import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Problem } from "../../contract/problem.ts";
import { sha256 } from "../../kernel/secret.ts";
import { until } from "../support/until.ts";
import { instance } from "../support/instance.ts";
import { createFixture, type Fixture } from "./fixture.ts";
import {
  signingKey,
  signToken,
  signWithSecret,
  startIssuer,
  type Issuer,
  type IssuerMode,
  type SigningKey,
} from "./issuer.ts";

const MINUTE_MS = 60_000;
const ISSUER = "https://id.example.com";
const AUDIENCE = "fingerpost";
const rsa = signingKey("RS256", "rsa");
const ec = signingKey("ES256", "ec");

let issuer: Issuer;
let elsewhere: Issuer;
let fixture: Fixture;
let tokens = 0;
let background: Promise<unknown>[];

beforeAll(async () => {
  [issuer, elsewhere] = await Promise.all([startIssuer(), startIssuer()]);
});

afterAll(async () => {
  await Promise.all([issuer.close(), elsewhere.close()]);
});

beforeEach(async () => {
  issuer.mode({ type: "ok" });
  issuer.keys = [rsa.jwk, ec.jwk];
  background = [];
  fixture = createFixture({
    platform: { background: (work) => void background.push(work) },
    access: {
      type: "keys",
      keys: [{ name: "ci", digest: await sha256("a.plain.key") }],
      jwt: { jwksUrl: issuer.url, issuer: ISSUER, audience: AUDIENCE },
    },
  });
  for (const name of ["web", "api"]) fixture.publisher.services.set(name, [instance(`${name}-1`)]);
  await fixture.publisher.fill();
  issuer.requests = 0;
});

const nowSeconds = () => Math.floor(fixture.clock.now() / 1000);

/** Each is a token of its own, so that none is remembered. */
function claims(changed: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: "shop",
    exp: nowSeconds() + 7200,
    iat: nowSeconds(),
    jti: String(++tokens),
    scope: "openid fingerpost:default/web fingerpost:broken",
    ...changed,
  };
}

async function ask(token: string, service = "web"): Promise<number> {
  return (await fixture.get(`/v1/services/${service}`, { authorization: `Bearer ${token}` })).status;
}

const fresh = (key = ec) => ask(signToken(key, claims()));

describe("a JWT", () => {
  it.each(["RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])(
    "signed by %s is taken",
    async (alg) => {
      const key = keyFor(alg, "a-key");
      issuer.keys = [key.jwk, ec.jwk];
      expect(await fresh(key)).toBe(200);
      const { alg: _, ...jwk } = key.jwk;
      expect(jwk).not.toEqual(key.jwk);
    },
  );

  it.each<[string, () => string]>([
    ["for several audiences", () => signToken(ec, claims({ aud: ["other", AUDIENCE] }))],
    ["of RFC 9068", () => signToken(ec, claims(), { typ: "application/at+JWT" })],
    ["without a type", () => signToken(ec, claims(), { typ: undefined })],
    ["issued later than now, by any clock of ours", () => signToken(ec, claims({ iat: Date.UTC(2100, 0) / 1000 }))],
    ["that counts in half a minute", () => signToken(ec, claims({ nbf: nowSeconds() + 30 }))],
    ["in its last second", () => signToken(ec, claims({ exp: nowSeconds() + 1 }))],
  ])("%s is taken", async (_, make) => {
    expect(await ask(make())).toBe(200);
  });

  it.each<[string, () => string]>([
    ["without a signature", () => `${signToken(ec, claims(), { alg: "none" }).split(".", 2).join(".")}.`],
    ["that says none for its algorithm", () => signToken(ec, claims(), { alg: "none" })],
    [
      "by HMAC with the public key",
      () => signWithSecret(JSON.stringify(rsa.jwk), claims(), { alg: "HS256", kid: "rsa" }),
    ],
    [
      "by HMAC with the public modulus",
      () => signWithSecret(String(rsa.jwk["n"]), claims(), { alg: "HS256", kid: "rsa" }),
    ],
    ["of another algorithm than its key's", () => signToken({ ...rsa, alg: "PS256" }, claims())],
    ["that names a key of another kind", () => signToken(ec, claims(), { kid: "rsa" })],
    ["of another's key with this key's id", () => signToken(signingKey("ES256", "ec"), claims())],
    ["that brings its own key", () => signToken(signingKey("ES256", "new"), claims(), { jwk: ec.jwk })],
    ["changed after it was signed", () => tampered(signToken(ec, claims()))],
    ["of another issuer", () => signToken(ec, claims({ iss: "https://other.example.com" }))],
    ["without an issuer", () => signToken(ec, claims({ iss: undefined }))],
    ["for another audience", () => signToken(ec, claims({ aud: "other" }))],
    ["without an audience", () => signToken(ec, claims({ aud: undefined }))],
    ["that never expires", () => signToken(ec, claims({ exp: undefined }))],
    ["with an expiry that is no number", () => signToken(ec, claims({ exp: "9999999999" }))],
    ["that has just expired", () => signToken(ec, claims({ exp: nowSeconds() }))],
    ["that does not count yet", () => signToken(ec, claims({ nbf: nowSeconds() + 31 }))],
    ["with a beginning that is no number", () => signToken(ec, claims({ nbf: "0" }))],
    ["with a critical header that nobody knows", () => signToken(ec, claims(), { crit: ["b64"], b64: false })],
    ["of another type", () => signToken(ec, claims(), { typ: "dpop+jwt" })],
    ["with a key id that is no text", () => signToken(ec, claims(), { kid: ["ec"] })],
    ["that holds no claims", () => signToken(ec, null)],
    ["that holds a list", () => signToken(ec, [claims()])],
    ["of no JSON", () => "YQ.YQ.YQ"],
  ])("%s is refused, and nothing is looked up", async (_, make) => {
    expect(await ask(make())).toBe(401);
    expect(fixture.store.requests).toEqual([]);
  });

  it.each<[string, SigningKey, (jwk: SigningKey["jwk"]) => readonly Record<string, unknown>[]]>([
    ["too short", signingKey("RS256", "k", 1024), (jwk) => [jwk]],
    ["meant for encryption", ec, (jwk) => [{ ...jwk, use: "enc" }]],
    ["not meant for verifying", ec, (jwk) => [{ ...jwk, use: undefined, key_ops: ["deriveKey"] }]],
    ["in the set twice", ec, (jwk) => [jwk, jwk]],
    ["no point of its curve", ec, (jwk) => [{ ...jwk, x: jwk["y"] }]],
    ["symmetric", ec, () => [{ kty: "oct", k: "c2VjcmV0", kid: "ec", alg: "HS256" }]],
  ])("is refused where its key is %s", async (_, key, shown) => {
    issuer.keys = shown(key.jwk);
    expect(await fresh(key)).toBe(401);
  });

  it.each([
    ["ES256", "ES256"],
    ["EdDSA", "EdDSA"],
    ["PS256", "RS256"],
  ])("by %s without a key id is taken where one key is of its kind", async (alg, kind) => {
    const keys = ["ES256", "ES384", "EdDSA", "RS256"].map((each) => keyFor(each, "a"));
    issuer.keys = keys.map(({ jwk }) => ({ ...jwk, alg: undefined, kid: undefined }));
    const key = keys.find((each) => each.alg === kind) ?? ec;
    expect(await ask(signToken({ ...key, alg }, claims(), { kid: undefined }))).toBe(200);
  });

  it("without a key id is refused where more than one key fits", async () => {
    issuer.keys = [ec.jwk, signingKey("ES256", "ec-2").jwk];
    expect(await ask(signToken(ec, claims(), { kid: undefined }))).toBe(401);
  });

  it("opens what its scopes say and no more; one without ours opens nothing", async () => {
    const token = signToken(ec, claims());
    expect([await ask(token), await ask(token, "api"), await ask(token, "none")]).toEqual([200, 403, 403]);
    for (const scope of [
      undefined,
      "",
      "default/web",
      "other-scope:default/web",
      "xingerpost:default/web",
      ["fingerpost:*/*"],
    ]) {
      expect(await ask(signToken(ec, claims({ scope })))).toBe(403);
    }
    expect(await ask(signToken(ec, claims({ scope: "fingerpost:*/*" })), "api")).toBe(200);
  });

  it("is remembered no longer than it is good for", async () => {
    const token = signToken(ec, claims({ exp: nowSeconds() + 10 }));
    expect(await ask(token)).toBe(200);
    await fixture.clock.advance(9999);
    expect(await ask(token)).toBe(200);
    await fixture.clock.advance(1);
    expect(await ask(token)).toBe(401);
  });

  it("counts as one caller with those whose subjects only differ past what OpenID Connect allows", async () => {
    fixture = createFixture({
      rateLimit: { perSecond: 1 },
      access: { type: "keys", keys: [], jwt: { jwksUrl: issuer.url, issuer: ISSUER, audience: AUDIENCE } },
    });
    fixture.publisher.services.set("web", [instance("web-1")]);
    await fixture.publisher.fill();
    const asked = (sub: string) => ask(signToken(ec, claims({ sub })));
    expect(await asked("a".repeat(254))).toBe(200);
    expect(await asked("a".repeat(255))).toBe(200);
    expect(await asked("a".repeat(256))).toBe(429);
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>, boolean]>([
    ["another client_id", { client_id: "a" }, { client_id: "b" }, false],
    ["another azp", { azp: "a" }, { azp: "b" }, false],
    ["a client_id beside one azp", { client_id: "a", azp: "one" }, { client_id: "b", azp: "one" }, false],
    ["a subject that is called like the client", { client_id: "a" }, { sub: "a" }, false],
    ["the same subject and another client", { sub: "a", client_id: "a" }, { sub: "a", client_id: "b" }, true],
    ["the same client_id", { client_id: "a" }, { client_id: "a" }, true],
    ["neither subject nor client", { azp: 7 }, {}, true],
  ])("with %s: whether it counts as the same caller", async (_, first, second, same) => {
    fixture = createFixture({
      rateLimit: { perSecond: 1 },
      access: { type: "keys", keys: [], jwt: { jwksUrl: issuer.url, issuer: ISSUER, audience: AUDIENCE } },
    });
    fixture.publisher.services.set("web", [instance("web-1")]);
    await fixture.publisher.fill();
    const asked = (who: Record<string, unknown>) => ask(signToken(ec, claims({ sub: undefined, ...who })));
    expect([await asked(first), await asked(second)]).toEqual([200, same ? 429 : 200]);
  });

  it("has a hundred scopes at most: one with more is refused by saying so, and not cut", async () => {
    const scope = (count: number) =>
      `openid ${"fingerpost:d/w ".repeat(count - 1)}fingerpost:default/web fingerpost:broken`;
    expect(await ask(signToken(ec, claims({ scope: scope(100) })))).toBe(200);
    const authorization = `Bearer ${signToken(ec, claims({ scope: scope(101) }))}`;
    const response = await fixture.get("/v1/services/web", { authorization });
    expect(response.status).toBe(403);
    expect(((await response.json()) as Problem).detail).toBe("The token has 101 scopes, and at most 100 are taken.");
    // What is not signed learns nothing of that.
    expect(await ask(signToken(signingKey("ES256", "ec"), claims({ scope: scope(101) })))).toBe(401);
  });

  it("costs no import of the issuer's key but the first of each algorithm, its signature good or bad", async () => {
    issuer.keys = [{ ...rsa.jwk, alg: undefined }, ec.jwk];
    const imports = vi.spyOn(crypto.subtle, "importKey");
    try {
      const forged = { ...rsa, privateKey: signingKey("RS256", "rsa").privateKey };
      for (let count = 0; count < 3; count++) {
        expect(await fresh(forged)).toBe(401);
        expect(await fresh(rsa)).toBe(200);
        expect(await fresh({ ...rsa, alg: "PS256" })).toBe(200);
      }
      expect(imports).toHaveBeenCalledTimes(2);
      await fixture.clock.advance(11 * MINUTE_MS);
      expect(await fresh(rsa)).toBe(200);
      expect(imports).toHaveBeenCalledTimes(3);
    } finally {
      imports.mockRestore();
    }
  });

  it("does not displace the keys, even one with two dots", async () => {
    expect(await ask("a.plain.key", "api")).toBe(200);
    expect(issuer.requests).toBe(0);
  });
});

describe("the issuer's keys", () => {
  it("are read once for a crowd", async () => {
    const statuses = await Promise.all(Array.from({ length: 200 }, () => fresh()));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(issuer.requests).toBe(1);
  });

  it("are read again for a key they do not hold, but not for each one made up", async () => {
    expect(await fresh()).toBe(200);
    const next = signingKey("ES256", "next");
    issuer.keys = [ec.jwk, next.jwk];
    await fixture.clock.advance(30_000);
    expect(await fresh(next)).toBe(200);
    expect(issuer.requests).toBe(2);
    const madeUp = () => signToken(ec, claims(), { kid: `made-up-${++tokens}` });
    const refused = await Promise.all(Array.from({ length: 100 }, () => ask(madeUp())));
    expect(new Set(refused)).toEqual(new Set([401]));
    expect(issuer.requests).toBe(2);
    await fixture.clock.advance(30_000);
    await Promise.all(Array.from({ length: 100 }, () => ask(madeUp())));
    expect(issuer.requests).toBe(3);
  });

  it("are read behind after five minutes, and a key that was withdrawn is refused after ten at the latest", async () => {
    expect(await fresh(rsa)).toBe(200);
    issuer.keys = [ec.jwk];
    await fixture.clock.advance(5 * MINUTE_MS);
    expect(await fresh(rsa)).toBe(200);
    expect(issuer.requests).toBe(1);
    await fixture.clock.advance(1);
    expect(await fresh(rsa)).toBe(200);
    await until("they are read behind", async () => issuer.requests === 2 && (await fresh(rsa)) === 401);
    issuer.keys = [rsa.jwk];
    await fixture.clock.advance(10 * MINUTE_MS + 1);
    expect([await fresh(ec), await fresh(rsa)]).toEqual([401, 200]);
  });

  it("are good for an hour while the issuer is down, then nobody is told that a good token is bad", async () => {
    expect(await fresh()).toBe(200);
    issuer.mode({ type: "answer", status: 500, body: "" });
    await fixture.clock.advance(60 * MINUTE_MS);
    expect(await fresh()).toBe(200);
    await fixture.clock.advance(1);
    const response = await fixture.get("/v1/services/web", { authorization: `Bearer ${signToken(ec, claims())}` });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
    issuer.mode({ type: "ok" });
    await fixture.clock.advance(5000);
    expect(await fresh()).toBe(200);
  });

  it("are not asked for more often than every five seconds while the issuer fails, and it is told once", async () => {
    issuer.mode({ type: "answer", status: 500, body: "" });
    const statuses: number[] = [];
    for (let second = 0; second < 12; second++) {
      statuses.push(await fresh());
      await fixture.clock.advance(1000);
    }
    expect(new Set(statuses)).toEqual(new Set([503]));
    expect(issuer.requests).toBe(3);
    expect(fixture.logged.filter((line) => line.includes("issuer"))).toHaveLength(1);
  });

  it.each<[string, () => IssuerMode]>([
    ["answered with an error", () => ({ type: "answer", status: 503, body: JSON.stringify({ keys: [ec.jwk] }) })],
    ["redirected elsewhere", () => ({ type: "answer", status: 302, body: "", location: elsewhere.url })],
    ["not JSON", () => ({ type: "answer", status: 200, body: "<html>" })],
    ["no key set", () => ({ type: "answer", status: 200, body: '{"keys":{}}' })],
    [
      "longer than a key set is",
      () => ({ type: "answer", status: 200, body: JSON.stringify({ keys: [ec.jwk], x: "x".repeat(300_000) }) }),
    ],
    [
      "of more keys than an issuer has",
      () => ({
        type: "answer",
        status: 200,
        body: JSON.stringify({ keys: Array.from({ length: 101 }, () => ec.jwk) }),
      }),
    ],
  ])("that are %s verify nothing, and the last ones are used on", async (_, mode) => {
    elsewhere.keys = [ec.jwk];
    issuer.mode(mode());
    expect(await fresh()).toBe(503);
    issuer.mode({ type: "ok" });
    await fixture.clock.advance(5000);
    expect(await fresh()).toBe(200);
    issuer.mode(mode());
    await fixture.clock.advance(11 * MINUTE_MS);
    expect(await fresh()).toBe(200);
    expect(elsewhere.requests).toBe(0);
  });

  it("that do not come hold nobody up for more than two seconds, and who has the last ones is held up once", async () => {
    issuer.mode({ type: "hang" });
    const cold = fresh();
    await until("the issuer is asked", () => issuer.requests === 1);
    await fixture.clock.advance(2000);
    expect(await cold).toBe(503);
    expect(fixture.logged.filter((line) => line.includes("issuer"))).toHaveLength(1);
    issuer.mode({ type: "ok" });
    await fixture.clock.advance(5001);
    expect(await fresh()).toBe(200);
    issuer.mode({ type: "hang" });
    await fixture.clock.advance(11 * MINUTE_MS);
    const asked = issuer.requests;
    const crowd = Promise.all([fresh(), fresh(), fresh()]);
    await until("the issuer is asked again", () => issuer.requests > asked);
    await fixture.clock.advance(2000);
    expect(await crowd).toEqual([200, 200, 200]);
    await fixture.clock.advance(5001);
    const statuses: number[] = [];
    const answered = fresh().then((status) => statuses.push(status));
    await until("an answer that does not wait", () => statuses.length === 1, { timeoutMs: 1000 });
    await answered;
    expect(statuses).toEqual([200]);
  });

  it("that were given up, and come after newer ones, change nothing", async () => {
    issuer.mode({ type: "hang" });
    const cold = fresh();
    await until("the issuer is asked", () => issuer.requests === 1);
    const late = [...background];
    await fixture.clock.advance(2000);
    expect(await cold).toBe(503);
    issuer.mode({ type: "ok" });
    await fixture.clock.advance(5001);
    expect(await fresh()).toBe(200);
    issuer.answerHanging({ keys: [] });
    await Promise.all(late);
    expect(await fresh()).toBe(200);
  });
});

/** RSA keys take long to make: one serves all algorithms. */
function keyFor(alg: string, kid: string): SigningKey {
  const isRsa = /^[RP]S/.test(alg);
  return isRsa ? { ...rsa, alg, kid, jwk: { ...rsa.jwk, alg, kid } } : signingKey(alg, kid);
}

function tampered(token: string): string {
  const [header, , signature] = token.split(".");
  const more = Buffer.from(JSON.stringify(claims({ scope: "fingerpost:*/*" }))).toString("base64url");
  return [header, more, signature].join(".");
}
