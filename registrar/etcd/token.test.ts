import { expect, test } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { createLog } from "../../node/log.ts";
import { EtcdError } from "./port.ts";
import { createTokens } from "./token.ts";

const log = createLog("test", "silent");
const wrongPassword = () => Promise.reject(new EtcdError("unauthenticated", "wrong password"));

function setUp(authenticate: (count: number) => Promise<string | undefined>) {
  const clock = createManualClock();
  let sent = 0;
  let touch = async () => {};
  const tokens = createTokens({
    authenticate: () => authenticate(++sent),
    touch: () => touch(),
    clock,
    // Just below 1: the longest delay each backoff may draw.
    random: () => 0.999,
    log,
  });
  return { clock, tokens, sent: () => sent, onTouch: (run: () => Promise<void>) => (touch = run) };
}

/** As etcd makes them: what they are for, and until when. */
function jwt(clock: Clock, lifeSeconds: number, count: number): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { username: "agent", revision: count, exp: Math.floor(clock.now() / 1000) + lifeSeconds };
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.signature`;
}

/** An etcd that forgets a simple token once it was not used for `lifeMs`, and that is asked for it every `everyMs`. */
function useAtIntervals(lifeMs: number) {
  const usedAtMs = new Map<string, number>();
  const counts = { touches: 0 };
  const parts = setUp((count) => {
    usedAtMs.set(`token-${count}`, parts.clock.monotonic());
    return Promise.resolve(`token-${count}`);
  });
  const { clock, tokens } = parts;
  async function use(): Promise<void> {
    const token = await tokens.current();
    const nowMs = clock.monotonic();
    if (nowMs - (usedAtMs.get(token.value ?? "") ?? -Infinity) > lifeMs) {
      tokens.refused(token, nowMs);
      return;
    }
    usedAtMs.set(token.value ?? "", nowMs);
    tokens.used(token, nowMs);
  }
  parts.onTouch(async () => {
    counts.touches++;
    await use();
  });
  async function useEvery(everyMs: number, forMs: number): Promise<void> {
    for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs += everyMs) {
      await clock.advance(everyMs);
      void use();
    }
  }
  return { ...parts, counts, use, useEvery };
}

test("a crowd of callers shares one Authenticate, and later ones its token", async () => {
  const { tokens, sent } = setUp((count) => Promise.resolve(`token-${count}`));
  const all = await Promise.all(Array.from({ length: 1000 }, () => tokens.current()));
  expect(new Set(all.map(({ value }) => value))).toEqual(new Set(["token-1"]));
  expect((await tokens.current()).value).toBe("token-1");
  expect(sent()).toBe(1);
});

test("a token that has worked for a while is replaced once, however many say that it is refused", async () => {
  const { clock, tokens, sent } = setUp((count) => Promise.resolve(`token-${count}`));
  const first = await tokens.current();
  await clock.advance(5000);
  for (let call = 0; call < 300; call++) tokens.refused(first, clock.monotonic());
  const waiting = Promise.all(Array.from({ length: 300 }, () => tokens.current()));
  await clock.advance(1000);
  const newer = await waiting;
  // The news of the old token may come late: it says nothing of the new one.
  tokens.refused(first, clock.monotonic());
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
      (token) => tokens.refused(token, clock.monotonic()),
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

test("forty processes that lose their tokens together ask for new ones one after the other, within a second", async () => {
  const clock = createManualClock();
  const askedAtMs: number[] = [];
  let seed = 1;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const authenticate = () => {
    askedAtMs.push(clock.monotonic());
    return Promise.resolve("token");
  };
  const fleet = Array.from({ length: 40 }, () =>
    createTokens({ authenticate, touch: async () => {}, clock, random, log }),
  );
  const first = await Promise.all(fleet.map((tokens) => tokens.current()));
  // A start waits for nothing.
  expect(askedAtMs).toEqual(Array(40).fill(0));
  await clock.advance(60_000);
  askedAtMs.length = 0;
  const waiting = fleet.map((tokens, index) => {
    tokens.refused(first[index]!, clock.monotonic());
    return tokens.current();
  });
  await clock.advance(1000);
  await Promise.all(waiting);
  expect(askedAtMs).toHaveLength(40);
  for (const sinceMs of askedAtMs) {
    expect(askedAtMs.filter((atMs) => atMs >= sinceMs && atMs < sinceMs + 100).length).toBeLessThan(12);
  }
});

test("a token that names its expiry is replaced before it, while the old one serves, and once", async () => {
  let answer: (value: string) => void = () => {};
  const { clock, tokens, sent } = setUp((count) =>
    count === 1 ? Promise.resolve(jwt(clock, 300, 1)) : new Promise<string>((resolve) => (answer = resolve)),
  );
  const first = await tokens.current();
  await clock.advance(263_000);
  expect(sent()).toBe(1);
  await clock.advance(22_000);
  expect(sent()).toBe(2);
  expect(await tokens.current()).toBe(first);
  await clock.advance(10_000);
  expect(sent()).toBe(2);
  const second = jwt(clock, 300, 2);
  answer(second);
  await clock.advance(0);
  expect((await tokens.current()).value).toBe(second);
  expect(sent()).toBe(2);
});

test("a replacement that fails is tried again with backoff, and the old token serves meanwhile", async () => {
  const { clock, tokens, sent } = setUp((count) =>
    count === 1 || count === 4
      ? Promise.resolve(jwt(clock, 300, count))
      : Promise.reject(new EtcdError("unavailable", "away")),
  );
  const first = await tokens.current();
  await clock.advance(285_000);
  expect(sent()).toBe(2);
  expect(await tokens.current()).toBe(first);
  await clock.advance(1000);
  expect(sent()).toBe(4);
  expect((await tokens.current()).value).not.toBe(first.value);
});

test("a token refused while its replacement is under way waits for that one", async () => {
  let answer: (value: string) => void = () => {};
  const { clock, tokens, sent } = setUp((count) =>
    count === 1 ? Promise.resolve(jwt(clock, 300, 1)) : new Promise<string>((resolve) => (answer = resolve)),
  );
  const first = await tokens.current();
  await clock.advance(285_000);
  tokens.refused(first, clock.monotonic());
  const waiting = Promise.all([tokens.current(), tokens.current()]);
  answer("second");
  expect((await waiting).map(({ value }) => value)).toEqual(["second", "second"]);
  expect(sent()).toBe(2);
});

test.each([
  ["that says to have expired already, as to a clock that is ahead", -300],
  ["whose life is short", 5],
])("a token %s is used until it is refused", async (_, lifeSeconds) => {
  const { clock, tokens, sent } = setUp((count) => Promise.resolve(jwt(clock, lifeSeconds, count)));
  await tokens.current();
  await clock.advance(3_600_000);
  await tokens.current();
  expect(sent()).toBe(1);
});

test.each(["a.b.c", "a.bnVsbA.c", "a.eyJleHAiOiJzb29uIn0.c", "abcdef.17", `a.${"e".repeat(100)}.c`])(
  "%s is a token without an expiry",
  async (value) => {
    const { clock, tokens, sent } = setUp(() => Promise.resolve(value));
    expect((await tokens.current()).value).toBe(value);
    await clock.advance(3_600_000);
    expect(sent()).toBe(1);
  },
);

test("a simple token is kept in use, so that an idle process authenticates once and not every five minutes", async () => {
  const { tokens, clock, sent, counts } = useAtIntervals(300_000);
  await tokens.current();
  await clock.advance(3_600_000);
  await tokens.current();
  expect(sent()).toBe(1);
  expect(counts.touches).toBe(30);
});

test("a token in use costs no call of its own", async () => {
  const { sent, counts, useEvery } = useAtIntervals(300_000);
  await useEvery(30_000, 3_600_000);
  expect(sent()).toBe(1);
  expect(counts.touches).toBe(0);
});

test("how long etcd keeps an idle token is learnt in a few refusals; from then on there is none", async () => {
  const { sent, counts, useEvery } = useAtIntervals(5000);
  await useEvery(30_000, 600_000);
  const learnt = sent();
  expect(learnt).toBeLessThanOrEqual(5);
  const touches = counts.touches;
  await useEvery(30_000, 3_600_000);
  expect(sent()).toBe(learnt);
  // Every 3.75 s.
  expect(counts.touches - touches).toBeLessThan(1000);
});

test("a token lost with its member, or with a password, does not pass for one that expired", async () => {
  const { clock, tokens, sent, counts, useEvery } = useAtIntervals(300_000);
  await useEvery(30_000, 600_000);
  tokens.interrupted();
  await clock.advance(50_000);
  tokens.refused(await tokens.current(), clock.monotonic());
  await useEvery(30_000, 600_000);
  await clock.advance(20_000);
  tokens.refused(await tokens.current(), clock.monotonic());
  await useEvery(30_000, 600_000);
  expect(sent()).toBe(3);
  await useEvery(100_000, 600_000);
  expect(counts.touches).toBe(0);
});

test("closed while it authenticates, it does not go on from there", async () => {
  let answer: (value: string) => void = () => {};
  const clock = createManualClock();
  let timers = 0;
  const tokens = createTokens({
    authenticate: () => new Promise<string>((resolve) => (answer = resolve)),
    touch: async () => {},
    clock: { ...clock, after: (delayMs, run) => (timers++, clock.after(delayMs, run)) },
    random: () => 0.999,
    log,
  });
  const waiting = tokens.current();
  tokens.close();
  answer(jwt(clock, 300, 1));
  await waiting;
  expect(timers).toBe(0);
});

test("closed, it neither keeps a token in use nor asks for another", async () => {
  const { clock, tokens, sent, counts } = useAtIntervals(300_000);
  const token = await tokens.current();
  await clock.advance(60_000);
  tokens.refused(token, clock.monotonic());
  const waiting = tokens.current();
  tokens.close();
  await expect(waiting).rejects.toMatchObject({ code: "unavailable" });
  await clock.advance(3_600_000);
  expect(sent()).toBe(1);
  expect(counts.touches).toBe(0);
});
