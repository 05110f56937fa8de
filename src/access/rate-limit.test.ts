import { expect, it } from "vitest";
import { sha256 } from "../../kernel/secret.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import type { RateLimitRule } from "./rate-limit.ts";

async function limited(rateLimit: RateLimitRule): Promise<Fixture> {
  const fixture = createFixture({
    rateLimit,
    access: {
      type: "keys",
      keys: [
        { name: "a", digest: await sha256("a") },
        { name: "a", digest: await sha256("a-too") },
        { name: "b", digest: await sha256("b") },
      ],
    },
  });
  fixture.publisher.services.set("web", [instance("web-1")]);
  await fixture.publisher.fill();
  return fixture;
}

async function ask(fixture: Fixture, token: string, times = 1): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (let time = 0; time < times; time++) {
    statuses.push((await fixture.get("/v1/services/web", { authorization: `Bearer ${token}` })).status);
  }
  return statuses;
}

it("a caller that asks more often than configured is told when to come back, and others are not held up", async () => {
  const fixture = await limited({ perSecond: 3 });
  expect(await ask(fixture, "a", 4)).toEqual([200, 200, 200, 429]);
  const refused = await fixture.get("/v1/services/web", { authorization: "Bearer a" });
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(refused.headers.get("content-type")).toBe("application/problem+json");
  expect(await ask(fixture, "b")).toEqual([200]);
  await fixture.clock.advance(1000);
  expect(await ask(fixture, "a", 4)).toEqual([200, 200, 200, 429]);
});

it("two keys of one name, while one replaces the other, share what the caller may ask", async () => {
  const fixture = await limited({ perSecond: 2 });
  expect([...(await ask(fixture, "a", 2)), ...(await ask(fixture, "a-too"))]).toEqual([200, 200, 429]);
});

it("who is not admitted takes nothing from anybody", async () => {
  const fixture = await limited({ perSecond: 1 });
  expect(await ask(fixture, "wrong", 5)).toEqual([401, 401, 401, 401, 401]);
  expect(await ask(fixture, "a")).toEqual([200]);
});

it("what the platform's limiter refuses is refused for a second, without asking it, and nobody waits for it", async () => {
  const asked: string[] = [];
  const answers: ((within: boolean) => void)[] = [];
  const limit = (key: string) => {
    asked.push(key);
    return new Promise<boolean>((resolve) => answers.push(resolve));
  };
  const fixture = await limited({ limiter: { limit } });
  expect(await ask(fixture, "a", 2)).toEqual([200, 200]);
  for (const answer of answers.splice(0)) answer(false);
  await fixture.clock.advance(0);
  expect(await ask(fixture, "a", 3)).toEqual([429, 429, 429]);
  expect(await ask(fixture, "b")).toEqual([200]);
  expect(asked).toEqual(["a", "a", "b"]);
  await fixture.clock.advance(1000);
  expect(await ask(fixture, "a")).toEqual([200]);
  for (const answer of answers.splice(0)) answer(true);
  await fixture.clock.advance(0);
  expect(await ask(fixture, "a")).toEqual([200]);
});

it("a platform's limiter that fails limits nobody, and is told of once", async () => {
  const fixture = await limited({ limiter: { limit: () => Promise.reject(new TypeError("10.0.0.1 is away")) } });
  expect(await ask(fixture, "a", 3)).toEqual([200, 200, 200]);
  expect(fixture.logged.filter((line) => line.includes("limiter"))).toHaveLength(1);
});

it("a caller dropped for 10,000 others begins anew, so that what is counted stays bounded", async () => {
  const { createRateLimit } = await import("./rate-limit.ts");
  const { clock } = await limited({});
  const limit = createRateLimit({ perSecond: 1, clock, log: { info() {}, warn() {}, error() {} } });
  const take = (name: string) =>
    limit?.take({ name, unrestricted: true, may: () => true, mayList: () => true }, () => undefined);
  take("first");
  expect(() => take("first")).toThrow(/asks more often/);
  for (let index = 0; index < 10_000; index++) take(`caller-${index}`);
  expect(() => take("first")).not.toThrow();
  expect(() => take("caller-9999")).toThrow(/asks more often/);
});
