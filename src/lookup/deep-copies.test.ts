import { beforeEach, describe, expect, it } from "vitest";
import { serviceKey } from "../../contract/redis-keys.ts";
import { createFakeColo } from "../../test/resolver/fake-colo.ts";
import { createFakeDeep, type FakeDeep } from "../../test/resolver/fake-deep.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { DEEP_TIMEOUT_MS, WRITE_INTERVAL_MS, WRITES_PER_MINUTE } from "./deep-copies.ts";

const HEAD = "1/default/head/";
const WEB = "1/default/service/web";
const CATALOG = "1/default/catalog/";

let deep: FakeDeep;
let warm: Fixture;

beforeEach(async () => {
  deep = createFakeDeep();
  warm = createFixture({ deep, random: () => 0 });
  warm.publisher.services.set("web", [instance("web-1")]);
  warm.publisher.services.set("api", [instance("api-1")]);
  await warm.publisher.fill();
});

/** A new isolate, beside one that has been asked for `web` and has copied it; Redis is down since. */
async function coldWhileRedisIsDown(afterMs = 60_000): Promise<Fixture> {
  await warm.look("web");
  await warm.get("/v1/services");
  await warm.clock.advance(0);
  warm.store.failing = true;
  await warm.clock.advance(afterMs);
  deep.gets.length = 0;
  return createFixture({ deep, beside: warm });
}

async function settled<T>(answer: Promise<T>): Promise<() => boolean> {
  let done = false;
  void answer.then(() => (done = true));
  await warm.clock.advance(0);
  return () => done;
}

describe("a new isolate while Redis is down", () => {
  it("answers what another one was asked for, marked and as old as it is", async () => {
    const cold = await coldWhileRedisIsDown();
    const response = await cold.get("/v1/services/web");
    expect(await response.json()).toMatchObject({ instances: [{ id: "web-1" }] });
    expect(response.headers.get("fingerpost-source")).toBe("last-known-good");
    expect(response.headers.get("fingerpost-stale")).toBe("true");
    expect(response.headers.get("fingerpost-age-ms")).toBe("60000");
    expect(response.headers.get("cache-status")).toBe("fingerpost; hit; detail=last-known-good");
    expect(deep.gets.toSorted()).toEqual([HEAD, WEB]);
  });

  it("answers again from memory, and asks the deep store once", async () => {
    const cold = await coldWhileRedisIsDown();
    for (let lookup = 0; lookup < 10; lookup++) {
      expect(await cold.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good", stale: true });
    }
    expect(deep.gets).toHaveLength(2);
  });

  it("never calls what was copied fresh, however lately that was", async () => {
    const cold = await coldWhileRedisIsDown(10);
    expect(await cold.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good", stale: true });
    expect(await cold.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good", stale: true });
  });

  it("tells the age of a copy whose head was not copied, too", async () => {
    const cold = await coldWhileRedisIsDown();
    deep.values.delete(HEAD);
    const response = await cold.get("/v1/services/web");
    expect(response.headers.get("fingerpost-age-ms")).toBe("60000");
    expect(response.headers.get("fingerpost-stale")).toBe("true");
  });

  it("says 503 of what nobody copied, and never that it does not exist", async () => {
    const cold = await coldWhileRedisIsDown();
    expect((await cold.get("/v1/services")).status).toBe(200);
    expect((await cold.look("api")).status).toBe(503);
    expect((await cold.look("unheard-of")).status).toBe(503);
  });

  it("lists what was known, marked", async () => {
    const cold = await coldWhileRedisIsDown();
    const response = await cold.get("/v1/services");
    expect(await response.json()).toMatchObject({ services: [{ name: "api" }, { name: "web" }] });
    expect(response.headers.get("fingerpost-source")).toBe("last-known-good");
    expect(response.headers.get("fingerpost-stale")).toBe("true");
  });

  it("is current again with the first reading of Redis", async () => {
    const cold = await coldWhileRedisIsDown();
    await cold.look("web");
    warm.store.failing = false;
    await warm.clock.advance(3000);
    warm.publisher.confirmedAt = warm.clock.now();
    await warm.publisher.put("web", [instance("web-2")]);
    expect(await cold.look("web")).toMatchObject({ ids: ["web-2"], source: "redis", stale: false });
    expect((await cold.look("unheard-of")).status).toBe(404);
  });

  it("that hangs waits for the cold budget in all, the deep store's part of it included", async () => {
    const cold = await coldWhileRedisIsDown();
    warm.store.holding = true;
    const answer = cold.look("web");
    const done = await settled(answer);
    await warm.clock.advance(2000 - DEEP_TIMEOUT_MS - 1);
    expect(done()).toBe(false);
    await warm.clock.advance(1);
    expect(await answer).toMatchObject({ ids: ["web-1"], source: "last-known-good" });
  });

  it("waits no longer for a deep store that hangs, and then not at all for a while", async () => {
    const cold = await coldWhileRedisIsDown();
    deep.hanging = true;
    const done = await settled(cold.look("web"));
    expect(done()).toBe(false);
    await warm.clock.advance(DEEP_TIMEOUT_MS);
    expect(done()).toBe(true);
    expect((await settled(cold.look("web")))()).toBe(true);
    expect(cold.logged.filter((message) => message.startsWith("the deep store fails"))).toHaveLength(1);
  });

  it("does not ask for the same missing name again soon, nor for many", async () => {
    const cold = await coldWhileRedisIsDown();
    await cold.look("web");
    deep.gets.length = 0;
    for (let lookup = 0; lookup < 20; lookup++) await cold.look("nope");
    expect(deep.gets).toEqual(["1/default/service/nope"]);
    for (let name = 0; name < 1000; name++) await cold.look(`nope-${name}`);
    expect(deep.gets.length).toBeLessThanOrEqual(100);
  });
});

describe("a copy", () => {
  it("is not read while Redis answers, or what is held is enough", async () => {
    await warm.look("web");
    await warm.look("api");
    await warm.look("nope");
    warm.store.failing = true;
    await warm.clock.advance(60_000);
    const reads = deep.gets.length;
    await warm.look("web");
    expect(deep.gets).toHaveLength(reads);
  });

  it("does not count as verified by what stands beside it, which nobody has signed", async () => {
    await warm.look("web");
    await warm.clock.advance(60_000);
    warm.publisher.confirmedAt = warm.clock.now();
    await warm.publisher.fill();
    warm.store.values.delete(serviceKey("default", "web"));
    deep.values.set(WEB, (deep.values.get(WEB) ?? "").replace(/^(\d+) \d+ \d+/, "$1 9 999999"));
    const cold = createFixture({ deep, beside: warm });
    expect(await cold.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good", stale: true });
  });

  it("of the catalog never says that a service does not exist", async () => {
    const cold = await coldWhileRedisIsDown();
    deep.values.set(CATALOG, (deep.values.get(CATALOG) ?? "").replace(/,?\["api",1\]/, ""));
    expect(await (await cold.get("/v1/services")).json()).toMatchObject({ services: [{ name: "web" }] });
    warm.store.failing = false;
    await warm.clock.advance(3000);
    await cold.look("web");
    expect(await cold.look("api")).toMatchObject({ status: 200, ids: ["api-1"] });
  });

  it("is written of what was asked for, and of the head, and of a service only when it changes", async () => {
    await warm.look("web");
    await warm.clock.advance(0);
    expect(deep.puts.toSorted()).toEqual([HEAD, WEB]);
    await quietHour();
    expect(deep.puts.filter((key) => key === WEB)).toHaveLength(1);
    expect(deep.puts.filter((key) => key === HEAD).length).toBeLessThanOrEqual(7);
    expect(deep.puts.filter((key) => key === HEAD).length).toBeGreaterThanOrEqual(5);
    await warm.publisher.put("web", [instance("web-2")]);
    await warm.clock.advance(1001);
    await warm.look("web");
    await warm.clock.advance(0);
    expect(deep.puts.filter((key) => key === WEB)).toHaveLength(2);
    expect(deep.values.get(WEB)).toContain("web-2");
  });

  it("of a service that changes all the time is written once an interval, and is then the latest", async () => {
    await warm.look("web");
    deep.puts.length = 0;
    for (let elapsed = 0; elapsed < WRITE_INTERVAL_MS + 6000; elapsed += 3000) {
      await warm.publisher.put("web", [instance(`web-${elapsed}`)]);
      await warm.clock.advance(3000);
      await warm.look("web");
    }
    await warm.clock.advance(0);
    expect(deep.puts.filter((key) => key === WEB)).toHaveLength(1);
    expect(deep.values.get(WEB)).toContain(`web-${WRITE_INTERVAL_MS - 3000}`);
  });

  it("is written by one isolate of a data centre", async () => {
    const colo = createFakeColo();
    const first = createFixture({ deep, colo, beside: warm });
    const second = createFixture({ deep, colo, beside: warm });
    await first.look("web");
    await warm.clock.advance(5000);
    await second.look("web");
    await warm.clock.advance(5000);
    await second.look("web");
    await warm.clock.advance(0);
    expect(deep.puts.toSorted()).toEqual([HEAD, WEB]);
  });

  it("that another data centre wrote is left as it is", async () => {
    await warm.look("web");
    const elsewhere = createFixture({ deep, beside: warm });
    await elsewhere.look("web");
    await warm.clock.advance(5000);
    await elsewhere.look("web");
    await warm.clock.advance(0);
    expect(deep.puts.toSorted()).toEqual([HEAD, WEB]);
  });

  it("of many services is written no faster than the bound, and of all in the end", async () => {
    for (let index = 0; index < 200; index++) warm.publisher.services.set(`s-${index}`, [instance(`s-${index}`)]);
    await warm.publisher.fill();
    for (let index = 0; index < 200; index++) await warm.look(`s-${index}`);
    await warm.clock.advance(0);
    expect(deep.puts.length).toBeLessThanOrEqual(WRITES_PER_MINUTE);
    let most = 0;
    for (let minute = 0; minute < 5; minute++) {
      const before = deep.puts.length;
      for (let second = 0; second < 60; second += 2) {
        await warm.clock.advance(2000);
        await warm.look("s-0");
      }
      most = Math.max(most, deep.puts.length - before);
    }
    expect(most).toBeLessThanOrEqual(WRITES_PER_MINUTE);
    expect(new Set(deep.puts.filter((key) => key.includes("/s-"))).size).toBe(200);
  });

  it("that cannot be written is tried again later, and can be read meanwhile", async () => {
    deep.refusing = true;
    await warm.look("web");
    await warm.clock.advance(0);
    expect(deep.puts.length).toBeLessThanOrEqual(2);
    expect(warm.logged.filter((message) => message.startsWith("the deep store fails"))).toHaveLength(1);
    deep.refusing = false;
    for (let second = 0; second < 70; second += 2) {
      await warm.clock.advance(2000);
      await warm.look("web");
    }
    expect([...deep.values.keys()].toSorted()).toEqual([HEAD, WEB]);
  });

  it("of the catalog is written with what it was read with", async () => {
    await warm.get("/v1/services");
    await warm.clock.advance(0);
    expect([...deep.values.keys()].toSorted()).toEqual([CATALOG, HEAD]);
  });
});

/** An hour of a lookup every two seconds, in which nothing changes but the head. */
async function quietHour(): Promise<void> {
  for (let second = 0; second < 3600; second += 2) {
    await warm.publisher.writeHead();
    await warm.clock.advance(2000);
    await warm.look("web");
  }
}

it("what a lagging replica gives beside something newer that is held does not take its place", async () => {
  await warm.look("web");
  await warm.clock.advance(0);
  await warm.clock.advance(1500);
  const lagging = new Map(warm.store.values);
  await warm.publisher.put("web", [instance("web-2")]);
  await warm.look("api");
  const latest = warm.store.values;
  const answers: ((values: Map<string, string>) => void)[] = [];
  const mget = warm.store.mget.bind(warm.store);
  warm.store.mget = async (keys) => {
    if (keys.length === 1) return mget(keys);
    const values = await new Promise<Map<string, string>>((resolve) => answers.push(resolve));
    return keys.map((key) => values.get(key));
  };
  await warm.look("web");
  const again = warm.get("/v1/services/web", { "cache-control": "no-cache" });
  await warm.clock.advance(0);
  expect(answers).toHaveLength(2);
  for (const values of [latest, lagging]) {
    answers.shift()?.(values);
    await warm.clock.advance(0);
  }
  await again;
  warm.store.mget = mget;
  await warm.clock.advance(2 * WRITE_INTERVAL_MS);
  await warm.look("web");
  await warm.clock.advance(0);
  expect(deep.values.get(WEB)).toContain("web-2");
});
