import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFollower } from "../../registrar/etcd/follower.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { connect, createMirror, grantRight, parts, put } from "./fixture.ts";

// Shorter, and it is not worth replacing ahead of time.
const TOKEN_SECONDS = 7;
const PREFIX = "/fingerpost/default/jwt/";
const AUTHENTICATE = ["grpc_server_started_total", { grpc_method: "Authenticate" }] as const;

let server: Awaited<ReturnType<typeof startTestEtcd>>;
let keys: string;

beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), "fingerpost-jwt-"));
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  writeFileSync(join(keys, "public.pem"), publicKey);
  writeFileSync(join(keys, "private.pem"), privateKey, { mode: 0o600 });
  const files = `pub-key=${join(keys, "public.pem")},priv-key=${join(keys, "private.pem")}`;
  server = await startTestEtcd({ extraArgs: [`--auth-token=jwt,${files},sign-method=RS256,ttl=${TOKEN_SECONDS}s`] });
});
afterAll(async () => {
  await server?.close();
  if (keys) rmSync(keys, { recursive: true });
});

function setUp() {
  const codes: string[] = [];
  let renewals = 0;
  const lost: string[] = [];
  const etcd = connect(server.endpoint, server.user, { onRequest: (method, code) => codes.push(`${method} ${code}`) });
  const keeper = createLeaseKeeper({ etcd, ...parts, onRenewal: () => renewals++ });
  const mirror = createMirror();
  const follower = createFollower({ etcd, prefix: PREFIX, sink: mirror, ...parts });
  return {
    etcd,
    lost,
    codes,
    mirror,
    renewals: () => renewals,
    start: async () => {
      const { lease, ttlSeconds } = await etcd.grantLease(3);
      keeper.add(lease, ttlSeconds, (reason) => lost.push(reason));
      follower.start();
      await until("the list is there", () => follower.isReady());
    },
    close: async () => {
      await follower.close();
      await keeper.close();
      await etcd.close();
    },
  };
}

test("a JWT is replaced before it expires: nothing is ever refused, and each costs one Authenticate", async () => {
  const { etcd, codes, lost, start, close } = setUp();
  try {
    const before = await server.counter(...AUTHENTICATE);
    const startedMs = performance.now();
    await start();
    await until("the first token has expired", async () => {
      await etcd.transact([], [put(`${PREFIX}often`)]);
      return performance.now() - startedMs > (TOKEN_SECONDS + 1) * 1000;
    });
    expect(await server.counter(...AUTHENTICATE)).toBe(before + 2);
    expect(codes.filter((code) => !code.endsWith(" ok"))).toEqual([]);
    // Newer servers look at the token of a renewal's stream, which is therefore another one by now.
    expect(codes.filter((code) => code.startsWith("LeaseKeepAlive"))).toEqual(["LeaseKeepAlive ok"]);
    expect(lost).toEqual([]);
  } finally {
    await close();
  }
});

test("a role that is changed makes JWTs old: one new one, and writes, renewals and watch go on", async () => {
  const { etcd, mirror, codes, lost, renewals, start, close } = setUp();
  try {
    await start();
    await until("the lease is renewed", () => renewals() > 0);
    await etcd.transact([], [put(`${PREFIX}before`)]);
    // Younger than this, a token that is refused counts as a failure to authenticate.
    const issuedMs = performance.now();
    await until("the token is a second old", () => performance.now() - issuedMs > 1000);
    await grantRight(server.endpoint, server.root, "fingerpost", "/fingerpost/elsewhere");
    const before = { renewals: renewals(), authentications: await server.counter(...AUTHENTICATE) };
    await etcd.transact([], [put(`${PREFIX}after`)]);
    await until("renewals go on", () => renewals() - before.renewals >= 3);
    await until("the watch goes on", () => mirror.keysPut.includes(`${PREFIX}after`));
    expect(await server.counter(...AUTHENTICATE)).toBe(before.authentications + 1);
    expect(codes).toContain("Txn unauthenticated");
    expect(mirror.restores()).toBe(1);
    expect(lost).toEqual([]);
  } finally {
    await close();
  }
});
