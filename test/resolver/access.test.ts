import { afterAll, beforeAll, expect, it } from "vitest";
import { sha256 } from "../../kernel/secret.ts";
import { instance } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { signingKey, signToken, startIssuer, type Issuer, type SigningKey } from "./issuer.ts";
import { connectWriter, createTestPublisher } from "./publish.ts";
import { rawGet } from "./sockets.ts";
import { startUpstream, type Upstream } from "./upstream.ts";
import { buildWorker, startWorker, type TestWorker } from "./workerd.ts";

const CROWD = 50;
/** Of one caller, in ten seconds. */
const LIMIT = 100;
const rsa = signingKey("RS256", "rsa");
const KEYS: readonly SigningKey[] = [
  rsa,
  { ...rsa, alg: "PS256", kid: "pss", jwk: { ...rsa.jwk, alg: "PS256", kid: "pss" } },
  ...["ES256", "ES384", "EdDSA"].map((alg) => signingKey(alg, alg)),
];

let redis: TestRedis;
let upstream: Upstream;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let issuer: Issuer;
let worker: TestWorker;

// One isolate for all: what one test leaves in it is where the next begins.
beforeAll(async () => {
  let script: string;
  [redis, issuer, script] = await Promise.all([startTestRedis(), startIssuer(), buildWorker()]);
  upstream = await startUpstream(redis.readOnlyUrl);
  writer = await connectWriter(redis.url);
  const publisher = createTestPublisher((values) => writer.write(values), { now: () => Date.now() });
  for (const name of ["web", "hidden"]) publisher.services.set(name, [instance(`${name}-1`)]);
  await publisher.fill();
  const digest = async (key: string) => Buffer.from(await sha256(key)).toString("hex");
  worker = await startWorker({
    script,
    env: {
      UPSTASH_REDIS_REST_URL: upstream.url,
      UPSTASH_REDIS_REST_TOKEN: upstream.token,
      FINGERPOST_KEYS: `ci=${await digest("ci-key")}@default/w*,busy=${await digest("busy-key")}`,
      FINGERPOST_JWKS_URL: issuer.url,
      FINGERPOST_JWT_ISSUER: "https://id.example.com",
      FINGERPOST_JWT_AUDIENCE: "fingerpost",
      FINGERPOST_CORS_ORIGINS: "https://app.example.com",
    },
    rateLimits: { FINGERPOST_RATE_LIMITER: LIMIT },
  });
});

afterAll(async () => {
  await worker.close();
  await writer.close();
  await upstream.close();
  await Promise.all([issuer.close(), redis.close()]);
});

let tokens = 0;
/** Each is a token of its own, so that none is remembered. */
function token(key: SigningKey): string {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const claims = { iss: "https://id.example.com", aud: "fingerpost", sub: `caller-${++tokens}`, exp };
  return signToken(key, { ...claims, scope: "fingerpost:default/web" });
}

const ask = (credential: string, service = "web", headers = {}) =>
  fetch(`${worker.url}/v1/services/${service}`, { headers: { authorization: `Bearer ${credential}`, ...headers } });

it("a crowd with JWTs reads the issuer's keys once, though its first client hangs up while they are on the way", async () => {
  issuer.mode({ type: "hang" });
  const first = rawGet(worker.port, "/v1/services/web", `Bearer ${token(rsa)}`);
  const hungUp = first.answer.then(
    () => "answered",
    () => "hung up",
  );
  await until("the issuer is asked", () => issuer.requests === 1);
  const others = Array.from({ length: CROWD }, () => {
    return rawGet(worker.port, "/v1/services/web", `Bearer ${token(rsa)}`).answer;
  });
  first.socket.resetAndDestroy();
  expect(await hungUp).toBe("hung up");
  issuer.mode({ type: "ok" });
  issuer.answerHanging({ keys: KEYS.map(({ jwk }) => jwk) });
  const statuses = (await Promise.all(others)).map(({ status }) => status);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect(issuer.requests).toBe(1);
});

it.each(KEYS.map((key) => [key.alg, key] as const))(
  "a JWT by %s is taken, and opens what its scopes say",
  async (_, key) => {
    const credential = token(key);
    expect((await ask(credential)).status).toBe(200);
    expect((await ask(credential, "hidden")).status).toBe(403);
    expect((await ask(`${credential.slice(0, -8)}AAAAAAAA`)).status).toBe(401);
    // The key that an earlier request has imported verifies for others as well.
    const others = await Promise.all([1, 2, 3].map(async () => (await ask(token(key))).status));
    expect(others).toEqual([200, 200, 200]);
  },
);

it("a key opens what its scopes say, and what is outside is answered alike, there or not", async () => {
  const whole = async (response: Response) => [
    response.status,
    ...[...response.headers].filter(([name]) => name !== "date"),
    (await response.text()).replace(/hidden|absent/, "NAME"),
  ];
  expect((await ask("ci-key")).status).toBe(200);
  const asked = upstream.commands.length;
  const there = await whole(await ask("ci-key", "hidden"));
  expect(there[0]).toBe(403);
  expect(there).toEqual(await whole(await ask("ci-key", "absent")));
  expect(upstream.commands.slice(asked).flat().join(" ")).not.toMatch(/hidden|absent/);
});

it("a page of a configured origin may read an answer from memory, and one that is refused", async () => {
  const origin = "https://app.example.com";
  for (const credential of ["ci-key", "wrong"]) {
    const response = await ask(credential, "web", { origin });
    await response.body?.cancel();
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
  }
});

it("a caller past what Cloudflare's binding counts is answered 429, and others are not", async () => {
  const refused = await until("a refusal", async () => {
    const answers = await Promise.all(Array.from({ length: 25 }, () => ask("busy-key")));
    await Promise.all(answers.map((response) => response.text()));
    return answers.find(({ status }) => status === 429);
  });
  expect(refused.headers.get("retry-after")).toBe("1");
  // Theirs would be refused from the second request on, were they counted together.
  for (let time = 0; time < 3; time++) expect((await ask("ci-key")).status).toBe(200);
});
