import { beforeEach, describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { sleep } from "../../kernel/clock.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

const HEAD = headKey("default");
const WEB = serviceKey("default", "web");

let fixture: Fixture;

beforeEach(async () => {
  fixture = await filled();
});

async function filled(options: Parameters<typeof createFixture>[0] = {}): Promise<Fixture> {
  const made = createFixture(options);
  made.publisher.services.set("web", [instance("web-1")]);
  made.publisher.services.set("api", [instance("api-1")]);
  await made.publisher.fill();
  return made;
}

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

describe("a head that no publisher wrote", () => {
  it("of an epoch far in the future is not taken, so that the real ones that follow are not older", async () => {
    await fixture.look("web");
    await fixture.publisher.writeHead({ epoch: fixture.clock.now() + 10 * 86_400_000 });
    await fixture.clock.advance(3000);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good" });
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.clock.advance(3000);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], source: "redis" });
  });
});

describe("a new publisher whose clock is behind the last one's", () => {
  it("is believed when it confirms: its answers are not stale for as long as the clocks differ", async () => {
    fixture.publisher.confirmedAt = fixture.clock.now() + 3_600_000;
    await fixture.publisher.writeHead();
    await fixture.clock.advance(3000);
    await fixture.look("web");
    fixture.publisher.epoch = 2;
    for (let second = 0; second < 20; second++) {
      fixture.publisher.confirmedAt = fixture.clock.now();
      await fixture.publisher.fill();
      await fixture.clock.advance(1500);
      await fixture.look("web");
    }
    const response = await fixture.get("/v1/services/web");
    expect(response.headers.get("fingerpost-stale")).toBe("false");
  });
});

describe("answers only move forward", () => {
  it("when a replica gives an older head and snapshot", async () => {
    const lagging = new Map(fixture.store.values);
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.look("web");
    fixture.store.values = lagging;
    for (let second = 0; second < 5; second++) {
      await fixture.clock.advance(1500);
      expect((await fixture.look("web")).ids).toEqual(["web-2"]);
    }
    expect(await fixture.look("web")).toMatchObject({ source: "last-known-good", stale: true });
  });

  it("when a replica has the latest head and still an older snapshot of what must be read again", async () => {
    await fixture.publisher.put("web", [instance("web-2")]);
    const old = fixture.publisher.snapshotText("web");
    await fixture.publisher.put("web", [instance("web-3")]);
    await fixture.look("web");
    await fixture.publisher.fill();
    fixture.store.values.set(WEB, old);
    await fixture.clock.advance(3000);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-3"], source: "last-known-good" });
  });

  it("and a replica that stays behind is not asked more often for that", async () => {
    const lagging = new Map(fixture.store.values);
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.look("web");
    fixture.store.values = lagging;
    await fixture.clock.advance(3000);
    fixture.store.requests.length = 0;
    for (let lookup = 0; lookup < 100; lookup++) await fixture.look("web");
    expect(fixture.store.requests).toHaveLength(1);
  });

  it("when an earlier epoch has the later revision", async () => {
    fixture.publisher.epoch = 2;
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.look("web");
    fixture.publisher.epoch = 1;
    fixture.publisher.revision = 1000;
    await fixture.publisher.put("web", [instance("web-old")]);
    await fixture.clock.advance(3000);
    expect((await fixture.look("web")).ids).toEqual(["web-2"]);
  });

  it("and the held one is served, and soon marked, while a lagging replica lacks what the ring names", async () => {
    await fixture.look("web");
    const old = fixture.store.values.get(WEB) ?? "";
    await fixture.publisher.put("web", [instance("web-2")]);
    const recent = fixture.store.values.get(WEB) ?? "";
    fixture.store.values.set(WEB, old);
    await fixture.clock.advance(1500);
    await fixture.look("web");
    await fixture.clock.advance(0);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], source: "memory" });
    await fixture.clock.advance(1500);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good", stale: true });
    fixture.store.values.set(WEB, recent);
    await fixture.clock.advance(1001);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], stale: false });
  });

  it("and a lagging replica costs at most one reading of the service in a fresh interval", async () => {
    await fixture.look("web");
    const old = fixture.store.values.get(WEB) ?? "";
    await fixture.publisher.put("web", [instance("web-2")]);
    fixture.store.values.set(WEB, old);
    await fixture.clock.advance(5000);
    await fixture.look("web");
    fixture.store.requests.length = 0;
    for (let lookup = 0; lookup < 100; lookup++) await fixture.look("web");
    expect(fixture.store.requests.length).toBeLessThanOrEqual(1);
  });
});

describe("the ring", () => {
  it("that grows while it is read costs one reading for all that it names, not one for each", async () => {
    fixture.publisher.services.set("db", [instance("db-1")]);
    await fixture.publisher.fill();
    for (const service of ["web", "api", "db"]) await fixture.look(service);
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.clock.advance(1001);
    fixture.store.holding = true;
    await fixture.look("db");
    // The head is answered, and the snapshots are not, when another service changes.
    fixture.store.release();
    fixture.store.holding = true;
    await fixture.clock.advance(0);
    await fixture.publisher.put("api", [instance("api-2")]);
    fixture.store.release();
    await fixture.clock.advance(0);
    await fixture.publisher.put("web", [instance("web-3")]);
    await fixture.publisher.put("db", [instance("db-2")]);

    await fixture.clock.advance(1001);
    fixture.store.requests.length = 0;
    for (let round = 0; round < 3; round++) {
      for (const service of ["api", "web", "db"]) await fixture.look(service);
      await fixture.clock.advance(0);
    }
    expect((await fixture.look("api")).ids).toEqual(["api-2"]);
    expect((await fixture.look("web")).ids).toEqual(["web-3"]);
    expect((await fixture.look("db")).ids).toEqual(["db-2"]);
    const DB = serviceKey("default", "db");
    expect(fixture.store.requests).toEqual([
      [HEAD, serviceKey("default", "api")],
      [HEAD, WEB, DB],
    ]);
  });

  it("that no longer reaches back leaves held services unverified, and each is read again on demand", async () => {
    await fixture.look("web");
    await fixture.look("api");
    fixture.publisher.services.set("web", [instance("web-2")]);
    await fixture.publisher.fill();
    fixture.store.requests.length = 0;
    await fixture.clock.advance(2001);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], source: "redis" });
    expect(fixture.store.requests).toEqual([[HEAD], [HEAD, WEB]]);
  });

  it("that no longer reaches back costs a service in use no wait", async () => {
    await fixture.look("web");
    fixture.publisher.services.set("web", [instance("web-2")]);
    await fixture.publisher.fill();
    await fixture.clock.advance(1001);
    for (let lookup = 0; lookup < 3; lookup++) {
      expect((await fixture.look("web")).source).toBe("memory");
      await fixture.clock.advance(0);
    }
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], source: "memory" });
  });

  it("carried over by a new epoch keeps what is held, and one filled anew by another does not", async () => {
    await fixture.publisher.put("api", [instance("api-2")]);
    await fixture.look("web");
    fixture.publisher.epoch = 2;
    await fixture.publisher.writeHead();
    fixture.store.requests.length = 0;
    await fixture.clock.advance(3000);
    expect((await fixture.look("web")).source).toBe("redis");
    expect(fixture.store.requests).toEqual([[HEAD]]);

    // Another lineage whose revisions happen to continue ours: only its ring gives it away.
    fixture.publisher.epoch = 3;
    fixture.publisher.services.set("web", [instance("web-3")]);
    await fixture.publisher.fill();
    fixture.publisher.revision += 5;
    await fixture.publisher.writeHead({ ring: { floor: 11, entries: [] } });
    await fixture.clock.advance(3000);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-3"] });
  });
});

describe("absence", () => {
  it("costs no reading once head and catalog are known", async () => {
    expect((await fixture.look("nope")).status).toBe(404);
    const before = fixture.store.requests.length;
    for (let name = 0; name < 100; name++) expect((await fixture.look(`nope-${name}`)).status).toBe(404);
    expect(fixture.store.requests.length).toBe(before);
  });

  it("is never told from an incomplete head, a missing one or a missing catalog", async () => {
    await fixture.publisher.writeHead({ complete: false });
    expect((await fixture.look("nope")).status).toBe(503);
    fixture.store.values.delete(HEAD);
    await fixture.clock.advance(2000);
    expect((await fixture.look("nope")).status).toBe(503);
    await fixture.publisher.writeHead();
    fixture.store.values.delete("fp:{default}:catalog");
    await fixture.clock.advance(2000);
    const response = await fixture.get("/v1/services/nope");
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
  });

  it("is never told from a catalog older than the head says", async () => {
    const old = fixture.store.values.get("fp:{default}:catalog") ?? "";
    fixture.publisher.services.set("late", [instance("late-1")]);
    await fixture.publisher.fill();
    fixture.store.values.set("fp:{default}:catalog", old);
    expect((await fixture.look("nope")).status).toBe(503);
  });

  it("is not told of a known service whose snapshot is missing", async () => {
    fixture.store.values.delete(WEB);
    expect((await fixture.look("web")).status).toBe(503);
  });

  it("is not told while Redis is away, whatever the held catalog says", async () => {
    await fixture.look("nope");
    fixture.store.failing = true;
    await fixture.clock.advance(2001);
    expect((await fixture.look("nope")).status).toBe(503);
  });

  it("ends with the head whose ring adds the name, without a new catalog", async () => {
    expect((await fixture.look("new")).status).toBe(404);
    await fixture.publisher.put("new", [instance("new-1")]);
    await fixture.clock.advance(1001);
    expect(await fixture.look("new")).toMatchObject({ status: 200, ids: ["new-1"] });
  });

  it("of a service that ended begins when its tombstone's time is over, and not before", async () => {
    await fixture.look("web");
    await fixture.publisher.end("web", fixture.clock.now() + 120_000);
    await fixture.clock.advance(5000);
    expect(await fixture.look("web")).toMatchObject({ status: 200, ids: [] });
    await fixture.clock.advance(110_000);
    expect((await fixture.look("web")).status).toBe(200);
    await fixture.clock.advance(10_000);
    expect((await fixture.look("web")).status).toBe(404);
  });

  it("of a service that ended while nobody asked follows from ring and missing tombstone", async () => {
    await fixture.look("web");
    await fixture.publisher.end("web", fixture.clock.now() + 120_000);
    fixture.store.values.delete(WEB);
    await fixture.clock.advance(300_000);
    expect((await fixture.look("web")).status).toBe(404);
    fixture.store.requests.length = 0;
    for (let lookup = 0; lookup < 50; lookup++) expect((await fixture.look("web")).status).toBe(404);
    expect(fixture.store.requests.length).toBeLessThanOrEqual(1);
  });

  it("of a held service below the ring's floor follows from the catalog", async () => {
    await fixture.look("web");
    fixture.publisher.services.delete("web");
    fixture.store.values.delete(WEB);
    await fixture.publisher.fill();
    await fixture.clock.advance(300_000);
    expect((await fixture.look("web")).status).toBe(404);
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
    const bounded = await filled({ memory: { entriesMax: 1 } });
    for (let round = 0; round < 3; round++) {
      expect((await bounded.look("web")).ids).toEqual(["web-1"]);
      expect((await bounded.look("api")).ids).toEqual(["api-1"]);
    }
    expect(bounded.store.requests).toHaveLength(6);
  });

  it("answers for a snapshot that is too big to be held", async () => {
    const bounded = await filled({ memory: { bytesMax: 10 } });
    expect((await bounded.look("web")).ids).toEqual(["web-1"]);
    const both = await bounded.get("/v1/resolve?service=web&service=api");
    expect(Object.keys(((await both.json()) as { services: object }).services)).toEqual(["web", "api"]);
  });
});
