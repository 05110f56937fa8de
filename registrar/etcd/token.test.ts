import { expect, test } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createLog } from "../../node/log.ts";
import { EtcdError } from "./port.ts";
import { createTokens } from "./token.ts";

const log = createLog("test", "silent");
const wrongPassword = () => Promise.reject(new EtcdError("unauthenticated", "wrong password"));

function setUp(authenticate: (count: number) => Promise<string | undefined>) {
  const clock = createManualClock();
  let sent = 0;
  // Just below 1: the longest delay each backoff may draw.
  const tokens = createTokens({ authenticate: () => authenticate(++sent), clock, random: () => 0.999, log });
  return { clock, tokens, sent: () => sent };
}

test("a crowd of callers shares one Authenticate, and later ones its token", async () => {
  const { tokens, sent } = setUp((count) => Promise.resolve(`token-${count}`));
  const all = await Promise.all(Array.from({ length: 1000 }, () => tokens.current()));
  expect(new Set(all.map(({ value }) => value))).toEqual(new Set(["token-1"]));
  expect((await tokens.current()).value).toBe("token-1");
  expect(sent()).toBe(1);
});

test("a token that has worked for a while is replaced at once, and once, however many say that it is refused", async () => {
  const { clock, tokens, sent } = setUp((count) => Promise.resolve(`token-${count}`));
  const first = await tokens.current();
  await clock.advance(5000);
  for (let call = 0; call < 300; call++) tokens.refused(first);
  const newer = await Promise.all(Array.from({ length: 300 }, () => tokens.current()));
  // The news of the old token may come late: it says nothing of the new one.
  tokens.refused(first);
  expect(new Set([...newer, await tokens.current()].map(({ value }) => value))).toEqual(new Set(["token-2"]));
  expect(sent()).toBe(2);
});

test("refused credentials are sent again only after growing delays; between them callers fail at once", async () => {
  const { clock, tokens, sent } = setUp(wrongPassword);
  for (let elapsedMs = 0; elapsedMs < 60_000; elapsedMs += 50) {
    await expect(tokens.current()).rejects.toMatchObject({ code: "unauthenticated" });
    await clock.advance(50);
  }
  // After 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 seconds.
  expect(sent()).toBe(7);
});

test("an etcd that refuses each token it issues meets no storm of Authenticates", async () => {
  const { clock, tokens, sent } = setUp((count) => Promise.resolve(`token-${count}`));
  const codes = new Set<unknown>();
  for (let elapsedMs = 0; elapsedMs < 10_000; elapsedMs += 50) {
    await tokens.current().then(
      (token) => tokens.refused(token),
      (error: EtcdError) => codes.add(error.code),
    );
    await clock.advance(50);
  }
  expect(codes).toEqual(new Set(["unauthenticated"]));
  expect(sent()).toBeLessThanOrEqual(6);
});

test("after an outage the token is asked for again within four seconds", async () => {
  let up = false;
  const { clock, tokens } = setUp(() =>
    up ? Promise.resolve("token") : Promise.reject(new EtcdError("unavailable", "refused")),
  );
  for (let elapsedMs = 0; elapsedMs < 120_000; elapsedMs += 500) {
    await expect(tokens.current()).rejects.toMatchObject({ code: "unavailable" });
    await clock.advance(500);
  }
  up = true;
  await clock.advance(4000);
  await expect(tokens.current()).resolves.toMatchObject({ value: "token" });
});

test("an etcd without authentication is called without a token", async () => {
  const { tokens, sent } = setUp(() => Promise.resolve(undefined));
  await expect(tokens.current()).resolves.toMatchObject({ value: undefined });
  await tokens.current();
  expect(sent()).toBe(1);
});
