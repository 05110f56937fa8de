import { beforeEach, describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { sleep } from "../../kernel/clock.ts";
import { createFilledFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

const HEAD = headKey("default");
const WEB = serviceKey("default", "web");

let fixture: Fixture;

beforeEach(async () => {
  fixture = await createFilledFixture();
});

/** Begins a lookup and lets it get as far as it can without time passing. */
async function begun(made: Fixture, service: string) {
  const state = { settled: false, answer: made.look(service) };
  void state.answer.then(() => (state.settled = true));
  await made.clock.advance(0);
  return state;
}

describe("age", () => {
  it("up to the fresh interval costs no reading, and a cold lookup costs one", async () => {
    expect(await fixture.look("web")).toEqual({ ids: ["web-1"], status: 200, source: "redis", stale: false });
    await fixture.clock.advance(1000);
    expect((await fixture.look("web")).source).toBe("memory");
    expect(fixture.store.requests).toEqual([[HEAD, WEB]]);
  });

  it("between fresh and swr is answered from memory while the head alone is read behind", async () => {
    await fixture.look("web");
    await fixture.look("api");
    await fixture.publisher.put("web", [instance("web-2")]);
    fixture.store.requests.length = 0;
    await fixture.clock.advance(1001);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], source: "memory", stale: false });
    await fixture.clock.advance(0);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], source: "memory", stale: false });
    expect(fixture.store.requests).toEqual([[HEAD], [HEAD, WEB]]);
  });

  it("between fresh and swr costs a change one reading, however many lookups come meanwhile", async () => {
    await fixture.look("web");
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.clock.advance(1001);
    fixture.store.requests.length = 0;
    fixture.store.holding = true;
    await fixture.look("web");
    // The head comes, and what it shows to have changed does not.
    fixture.store.release();
    fixture.store.holding = true;
    for (let lookup = 0; lookup < 20; lookup++) {
      expect(await fixture.look("web")).toMatchObject({ source: "memory" });
      await fixture.clock.advance(10);
    }
    expect(fixture.store.requests).toEqual([[HEAD], [HEAD, WEB]]);
    fixture.store.release();
  });

  it("between fresh and swr costs one reading an interval for all that have changed, however many", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `s-${index}`);
    for (const name of names) await fixture.publisher.put(name, [instance(name)]);
    for (const name of names) await fixture.look(name);
    // Something always changes between the reading of a head and that of what it names.
    const mget = fixture.store.mget.bind(fixture.store);
    fixture.store.mget = async (keys) => {
      const values = await mget(keys);
      if (keys.length > 1) return values;
      await sleep(fixture.clock, 20);
      await fixture.publisher.put("s-39", [instance("s-39")]);
      return values;
    };
    fixture.store.requests.length = 0;
    for (let elapsed = 0; elapsed < 10_000; elapsed += 50) {
      const changed = names[(elapsed / 50) % names.length] ?? "";
      await fixture.publisher.put(changed, [instance(`${changed}-${elapsed}`)]);
      // One at a time, so that each meets the state that the one before has left.
      for (let lookup = 0; lookup < 10; lookup++) {
        await fixture.look("s-39");
        await fixture.look(names[(elapsed / 5 + 7 * lookup) % names.length] ?? "");
        await fixture.clock.advance(5);
      }
    }
    expect(fixture.store.requests.length).toBeLessThanOrEqual(2 * 10);
  });

  it("past swr waits for Redis, and gives last-known-good once the budget is over", async () => {
    await fixture.look("web");
    fixture.store.holding = true;
    await fixture.clock.advance(2001);
    const waiting = await begun(fixture, "web");
    await fixture.clock.advance(249);
    expect(waiting.settled).toBe(false);
    // A crowd waits for one slow reading once.
    const late = await begun(fixture, "web");
    await fixture.clock.advance(1);
    expect(await waiting.answer).toEqual({ ids: ["web-1"], status: 200, source: "last-known-good", stale: true });
    expect(await late.answer).toMatchObject({ source: "last-known-good" });
    fixture.store.release();
    await fixture.clock.advance(0);
    expect(await fixture.look("web")).toMatchObject({ source: "memory", stale: false });
  });

  it("between fresh and swr, and past its budget, a reading that hangs is the business of nobody but who began it", async () => {
    await fixture.look("web");
    fixture.store.holding = true;
    await fixture.clock.advance(1001);
    fixture.store.requests.length = 0;
    const kept: Promise<unknown>[] = [];
    const platform = { background: (work: Promise<unknown>) => void kept.push(work) };
    const crowd = () => {
      for (let lookup = 0; lookup < 100; lookup++) {
        const answer = fixture.resolver.fetch(new Request("http://resolver/v1/services/web"), platform);
        expect(answer).toBeInstanceOf(Response);
      }
    };
    crowd();
    expect(kept).toHaveLength(1);
    await fixture.clock.advance(1000);
    crowd();
    expect(kept).toHaveLength(1);
    expect(await fixture.look("web")).toMatchObject({ source: "last-known-good", stale: true });
    // One of which nothing was heard for longer than it could have taken is lost: whoever comes begins another.
    await fixture.clock.advance(3101);
    const waiting = await begun(fixture, "web");
    expect(waiting.settled).toBe(false);
    expect(fixture.store.requests).toEqual([[HEAD], [HEAD]]);
    await fixture.clock.advance(250);
    expect(await waiting.answer).toMatchObject({ source: "last-known-good" });
    crowd();
    expect(kept).toHaveLength(1);
    fixture.store.release();
  });

  it("past swr costs one reading of the head when nothing changed", async () => {
    await fixture.look("web");
    fixture.store.requests.length = 0;
    await fixture.clock.advance(60_000);
    expect(await fixture.look("web")).toMatchObject({ source: "redis", ids: ["web-1"] });
    expect(fixture.store.requests).toEqual([[HEAD]]);
  });

  it("told to the caller grows while the publisher is dead, though Redis is well", async () => {
    for (let second = 0; second <= 11; second++) {
      await fixture.look("web");
      await fixture.clock.advance(1000);
    }
    const response = await fixture.get("/v1/services/web");
    await fixture.clock.advance(0);
    expect(response.headers.get("fingerpost-source")).toBe("memory");
    expect(response.headers.get("fingerpost-stale")).toBe("true");
    expect(response.headers.get("fingerpost-age-ms")).toBe("12000");
    expect(response.headers.get("age")).toBe("12");
  });

  it("counts from when this isolate saw the confirmation, where the publisher's clock is ahead", async () => {
    fixture.publisher.confirmedAt = fixture.clock.now() + 3_600_000;
    await fixture.publisher.writeHead();
    await fixture.look("web");
    await fixture.clock.advance(5000);
    await fixture.look("web");
    await fixture.clock.advance(500);
    expect((await fixture.get("/v1/services/web")).headers.get("fingerpost-age-ms")).toBe("5500");
  });
});

describe("a Redis that is down", () => {
  it("costs a lookup no latency once the breaker is open, and is found again by a probe", async () => {
    await fixture.look("web");
    fixture.store.failing = true;
    await fixture.clock.advance(2001);
    await fixture.look("web");
    await fixture.look("web");
    fixture.store.holding = true;
    fixture.store.requests.length = 0;
    for (let lookup = 0; lookup < 100; lookup++) {
      expect(await fixture.look("web")).toMatchObject({ source: "last-known-good", stale: true });
    }
    expect(fixture.store.requests.length).toBe(0);
    await fixture.clock.advance(2000);
    expect((await begun(fixture, "web")).settled).toBe(true);
    expect(fixture.store.requests.length).toBe(1);
    // The one that began the probe keeps it alive; it is no business of those that come meanwhile.
    const kept: Promise<unknown>[] = [];
    const platform = { background: (work: Promise<unknown>) => void kept.push(work) };
    const meanwhile = fixture.resolver.fetch(new Request("http://resolver/v1/services/web"), platform);
    expect(meanwhile).toBeInstanceOf(Response);
    expect(kept).toEqual([]);
    fixture.store.failing = false;
    fixture.store.release();
    await fixture.clock.advance(0);
    expect(await fixture.look("web")).toMatchObject({ source: "memory", stale: false });
    expect(fixture.logged.filter((message) => message.startsWith("Redis is down"))).toHaveLength(1);
    expect(fixture.logged).toContain("Redis answers again");
  });

  it("now and then is told of once a minute, not with every failure", async () => {
    for (let elapsed = 0; elapsed < 170_000; elapsed += 2500) {
      fixture.store.failing = !fixture.store.failing;
      await fixture.look("web");
      await fixture.clock.advance(2500);
    }
    expect(fixture.logged.filter((message) => message.startsWith("Redis"))).toEqual(
      Array.from({ length: 3 }, () => "Redis could not be read"),
    );
  });

  it("makes a cold lookup say 503 after the cold budget, and at once while the breaker is open", async () => {
    fixture.store.holding = true;
    const cold = await begun(fixture, "web");
    await fixture.clock.advance(1999);
    expect(cold.settled).toBe(false);
    await fixture.clock.advance(1);
    expect((await cold.answer).status).toBe(503);
    fixture.store.failing = true;
    fixture.store.release();
    await fixture.clock.advance(0);
    await fixture.look("web");
    fixture.store.holding = true;
    expect((await begun(fixture, "web")).settled).toBe(true);
  });
});

describe("memory", () => {
  it("holds no more snapshots than its bound, and still answers for all", async () => {
    const bounded = await createFilledFixture({ memory: { entriesMax: 1 } });
    for (let round = 0; round < 3; round++) {
      expect((await bounded.look("web")).ids).toEqual(["web-1"]);
      expect((await bounded.look("api")).ids).toEqual(["api-1"]);
    }
    expect(bounded.store.requests).toHaveLength(6);
  });

  it("answers for a snapshot that is too big to be held", async () => {
    const bounded = await createFilledFixture({ memory: { bytesMax: 10 } });
    expect((await bounded.look("web")).ids).toEqual(["web-1"]);
    const both = await bounded.get("/v1/resolve?service=web&service=api");
    expect(Object.keys(((await both.json()) as { services: object }).services)).toEqual(["web", "api"]);
  });
});
