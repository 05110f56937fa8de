import { beforeEach, describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { sleep } from "../../kernel/clock.ts";
import { coloKey, createFakeColo, type FakeColo } from "../../test/resolver/fake-colo.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { COLO_DOCUMENTS_MAX, COLO_PAUSE_MS, COLO_TIMEOUT_MS } from "./shared-readings.ts";

const HEAD = headKey("default");
const WEB = serviceKey("default", "web");
const ISOLATES = 5;
const STEP_MS = 5;

let colo: FakeColo;
let isolates: Fixture[];
let first: Fixture;

beforeEach(async () => {
  colo = createFakeColo();
  first = createFixture({ colo, random: () => 0 });
  isolates = [first];
  for (let index = 1; index < ISOLATES; index++) {
    // Each draws its own part of the spread.
    isolates.push(createFixture({ colo, beside: first, random: () => index / ISOLATES }));
  }
  first.publisher.services.set("web", [instance("web-1")]);
  first.publisher.services.set("api", [instance("api-1")]);
  await first.publisher.fill();
});

/** Every isolate is asked for `web` every few milliseconds; gives how many answers were stale, or had to wait. */
async function steady(ms: number): Promise<number> {
  let others = 0;
  for (let elapsed = 0; elapsed < ms; elapsed += STEP_MS) {
    for (const isolate of isolates) {
      const { source, stale } = await isolate.look("web");
      if (stale || (source !== "memory" && elapsed > 0)) others++;
    }
    await first.clock.advance(STEP_MS);
    first.publisher.confirmedAt = first.clock.now();
    await first.publisher.writeHead();
  }
  return others;
}

const readings = (key: string) => first.store.requests.filter((keys) => keys.includes(key)).length;

describe("the isolates of a data centre", () => {
  it("read the head about once a fresh interval in all, and none of them waits", async () => {
    expect(await steady(5000)).toBe(0);
    expect(first.store.requests.filter((keys) => keys.length > 1)).toHaveLength(1);
    expect(readings(HEAD)).toBeGreaterThanOrEqual(5);
    expect(readings(HEAD)).toBeLessThanOrEqual(6);
  });

  it("follow a change within the fresh interval and its spread, with one reading of it in all", async () => {
    await steady(3000);
    first.store.requests.length = 0;
    await first.publisher.put("web", [instance("web-2")]);
    await steady(1060);
    for (const isolate of isolates) expect((await isolate.look("web")).ids).toEqual(["web-2"]);
    expect(readings(WEB)).toBe(1);
  });

  it("are due together, and only one goes to Redis; but one that died on its way is not waited for long", async () => {
    await steady(500);
    first.store.requests.length = 0;
    first.store.holding = true;
    await steady(700);
    expect(readings(HEAD)).toBe(1);
    await steady(400);
    expect(readings(HEAD)).toBeGreaterThan(1);
    first.store.release();
  });
});

describe("a head of the colo cache", () => {
  it("counts as old as its reading is, not as the look is", async () => {
    await first.look("web");
    await first.clock.advance(900);
    const [, second] = isolates as [Fixture, Fixture];
    expect((await second.look("web")).source).toBe("colo");
    await first.publisher.put("web", [instance("web-2")]);
    first.store.requests.length = 0;
    await first.clock.advance(1101);
    // 2,001 ms after the reading, though 1,101 after the look: it waits for Redis.
    expect(await second.look("web")).toMatchObject({ ids: ["web-2"], source: "redis" });
  });

  it("older than the fresh interval, or than what is held, is not taken for new", async () => {
    await first.look("web");
    const old = colo.readings.get(coloKey("head"));
    await first.clock.advance(1500);
    await first.publisher.put("web", [instance("web-2")]);
    await first.clock.advance(600);
    await first.look("web");
    if (!old) throw new Error("no head in the colo cache");
    colo.readings.set(coloKey("head"), { ...old, readAt: first.clock.now() });
    await first.clock.advance(2001);
    colo.readings.set(coloKey("head"), { ...old, readAt: first.clock.now() });
    expect(await first.look("web")).toMatchObject({ ids: ["web-2"], source: "redis", stale: false });
  });

  it("read longer ago than the fresh interval is read again, though it is newer than what is held", async () => {
    const [, second] = isolates as [Fixture, Fixture];
    await second.look("web");
    await first.clock.advance(1100);
    await first.look("web");
    await first.clock.advance(1500);
    first.store.requests.length = 0;
    expect((await second.look("web")).source).toBe("redis");
    expect(first.store.requests).toEqual([[HEAD]]);
  });

  it("is not there before the snapshots that were read with it", async () => {
    const kinds: string[] = [];
    const put = colo.put.bind(colo);
    colo.put = async (namespace, kind, name, reading) => {
      kinds.push(kind);
      if (kind === "service") await sleep(first.clock, 10);
      await put(namespace, kind, name, reading);
    };
    await first.look("web");
    await first.clock.advance(9);
    expect(kinds).toEqual(["service"]);
    await first.clock.advance(1);
    expect(kinds).toEqual(["service", "head"]);
  });

  it("that was young enough when it was taken is so for whoever waits, though that takes a while", async () => {
    const [, second] = isolates as [Fixture, Fixture];
    expect((await second.look("nope")).status).toBe(404);
    await second.look("web");
    await first.clock.advance(1100);
    await first.publisher.put("web", [instance("web-2")]);
    await first.look("web");
    await first.get("/v1/services/web", { "cache-control": "no-cache" });
    await first.clock.advance(990);
    first.store.requests.length = 0;
    const get = colo.get.bind(colo);
    colo.get = async (namespace, kind, name) => {
      if (kind === "service") await sleep(first.clock, 20);
      return get(namespace, kind, name);
    };
    const looking = second.look("nope");
    await first.clock.advance(20);
    expect((await looking).status).toBe(404);
    expect(first.store.requests).toEqual([]);
  });

  it("of a clock that is ahead is not believed", async () => {
    await first.look("web");
    const head = colo.readings.get(coloKey("head"));
    if (!head) throw new Error("no head in the colo cache");
    await first.clock.advance(2001);
    colo.readings.set(coloKey("head"), { ...head, readAt: first.clock.now() + 5000 });
    first.store.requests.length = 0;
    expect((await first.look("web")).source).toBe("redis");
    expect(first.store.requests).toEqual([[HEAD]]);
  });

  it("that names a change leaves the service to Redis where the colo cache has an older snapshot", async () => {
    await Promise.all(isolates.map((isolate) => isolate.look("web")));
    const stale = colo.readings.get(coloKey("service", "web"));
    if (!stale) throw new Error("no snapshot in the colo cache");
    await first.publisher.put("web", [instance("web-2")]);
    await first.clock.advance(2001);
    await first.look("web");
    colo.readings.set(coloKey("service", "web"), stale);
    first.store.requests.length = 0;
    const [, second] = isolates as [Fixture, Fixture];
    expect((await second.look("web")).ids).toEqual(["web-2"]);
    expect(first.store.requests).toEqual([[HEAD, WEB]]);
  });
});

describe("what only the ring of a later head contradicts", () => {
  it("is as old as its own reading where the colo cache had it", async () => {
    await first.look("web");
    // Nothing vouches for it any more: the ring begins anew.
    await first.clock.advance(5000);
    await first.publisher.fill();
    first.publisher.confirmedAt = first.clock.now();
    await first.publisher.writeHead();
    await first.look("api");
    first.store.failing = true;
    const [, second] = isolates as [Fixture, Fixture];
    const response = await second.get("/v1/services/web");
    expect(response.headers.get("fingerpost-source")).toBe("last-known-good");
    expect(response.headers.get("fingerpost-age-ms")).toBe("5000");
  });
});

describe("a colo cache that hangs or fails", () => {
  it("costs one look, and then nothing for a while", async () => {
    await first.look("web");
    await first.clock.advance(2001);
    colo.hanging = true;
    colo.gets.length = 0;
    const looking = first.look("web");
    await first.clock.advance(COLO_TIMEOUT_MS);
    expect((await looking).source).toBe("redis");
    expect(colo.gets).not.toEqual([]);
    colo.gets.length = 0;
    for (let elapsed = 0; elapsed < COLO_PAUSE_MS - 3000; elapsed += 500) {
      await first.look("web");
      await first.clock.advance(500);
    }
    expect(colo.gets).toEqual([]);
    colo.hanging = false;
    await first.clock.advance(4000);
    await first.look("web");
    expect(colo.gets).not.toEqual([]);
  });

  it("is told of once, and no lookup fails for it", async () => {
    colo.failing = true;
    for (let second = 0; second < 8; second++) {
      expect((await first.look("web")).status).toBe(200);
      await first.clock.advance(1000);
    }
    expect(first.logged.filter((message) => message.includes("colo cache"))).toHaveLength(1);
  });
});

describe("names that do not exist", () => {
  it("cost an isolate whose colo cache is warm a single command", async () => {
    expect((await first.look("nope")).status).toBe(404);
    await first.look("web");
    first.store.requests.length = 0;
    const [, second] = isolates as [Fixture, Fixture];
    for (let name = 0; name < 200; name++) expect((await second.look(`nope-${name}`)).status).toBe(404);
    expect(first.store.requests).toHaveLength(1);
  });
});

describe("many services at once", () => {
  const names = Array.from({ length: 50 }, (_, index) => `s-${index}`);
  const resolvePath = (services: readonly string[]) =>
    `/v1/resolve?${services.map((name) => `service=${name}`).join("&")}`;

  /** Gets and puts while one request is answered, and what it does behind. */
  async function coloRequestsOf(path: string): Promise<number> {
    let puts = 0;
    const put = colo.put.bind(colo);
    colo.put = async (...args) => {
      puts++;
      return put(...args);
    };
    colo.gets.length = 0;
    expect((await first.get(path)).status).toBe(200);
    await first.clock.advance(0);
    colo.put = put;
    return colo.gets.length + puts;
  }

  beforeEach(async () => {
    for (const name of names) first.publisher.services.set(name, [instance(name)]);
    await first.publisher.fill();
  });

  it("take few of a Worker's 50 requests when they are cold, and one command", async () => {
    expect(await coloRequestsOf(resolvePath(names))).toBeLessThan(30);
    expect(first.store.requests).toHaveLength(1);
  });

  it("take few when they have changed, and one command besides the head", async () => {
    await first.get(resolvePath(names));
    for (const name of names) await first.publisher.put(name, [instance(`${name}-2`)]);
    await first.clock.advance(1100);
    first.store.requests.length = 0;
    expect(await coloRequestsOf("/v1/services/s-0")).toBeLessThan(30);
    expect(first.store.requests.map((keys) => keys.length)).toEqual([1, 51]);
    expect((await first.look("s-49")).ids).toEqual(["s-49-2"]);
  });

  it("that are few are looked for once, and taken from there", async () => {
    const few = names.slice(0, COLO_DOCUMENTS_MAX);
    await first.get(resolvePath(few));
    await first.clock.advance(0);
    first.store.requests.length = 0;
    const [, second] = isolates as [Fixture, Fixture];
    colo.gets.length = 0;
    const response = await second.get(resolvePath(few));
    expect(response.headers.get("fingerpost-source")).toBe("memory");
    expect(first.store.requests).toEqual([]);
    expect(colo.gets).toHaveLength(few.length + 1);
  });

  it("that are few and not there are not looked for again, one by one", async () => {
    colo.gets.length = 0;
    await first.get(resolvePath(names.slice(0, 4)));
    expect(colo.gets).toHaveLength(5);
  });
});
