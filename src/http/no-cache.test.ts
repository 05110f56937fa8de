import { describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { asksAgain, REVALIDATIONS_BURST, REVALIDATIONS_PER_SECOND } from "./no-cache.ts";

const HEAD = headKey("default");
const WEB = serviceKey("default", "web");
const NO_CACHE = { "cache-control": "no-cache" };

async function filled(): Promise<Fixture> {
  const made = createFixture();
  made.publisher.services.set("web", [instance("web-1")]);
  made.publisher.services.set("api", [instance("api-1")]);
  await made.publisher.fill();
  return made;
}

/** A lookup with `no-cache`: what it gave, and what the headers say of it. */
async function lookAgain(fixture: Fixture, path = "/v1/services/web") {
  const response = await fixture.get(path, NO_CACHE);
  const body = (await response.json()) as { instances?: { id: string }[] };
  return {
    status: response.status,
    ids: (body.instances ?? []).map(({ id }) => id).join(),
    source: response.headers.get("fingerpost-source"),
    cacheStatus: response.headers.get("cache-status"),
  };
}

async function begun<T>(fixture: Fixture, answer: Promise<T>): Promise<{ settled: boolean; answer: Promise<T> }> {
  const state = { settled: false, answer };
  void answer.then(() => (state.settled = true));
  await fixture.clock.advance(0);
  return state;
}

it.each([
  [undefined, false],
  ["no-cache", true],
  ["No-Cache", true],
  ["max-age=0", true],
  ["max-age=00", true],
  ['max-age="0"', true],
  ["no-store, no-cache", true],
  ["max-age=10", false],
  ["no-store", false],
  ["no-cached", false],
  ['x="a, no-cache, b"', false],
  ['x="a\\", no-cache, b"', false],
  ["x".repeat(1000) + ", no-cache", false],
])("Cache-Control: %j asks for a reading: %j", (header, asks) => {
  const headers = header === undefined ? {} : { "cache-control": header };
  expect(asksAgain(new Request("http://resolver/", { headers }))).toBe(asks);
});

describe("a request with no-cache", () => {
  it("sees what was published before it came, though what is held is fresh", async () => {
    const fixture = await filled();
    await fixture.look("web");
    await fixture.publisher.put("web", [instance("web-2")]);
    expect((await fixture.look("web")).ids).toEqual(["web-1"]);
    fixture.store.requests.length = 0;
    expect(await lookAgain(fixture)).toEqual({
      status: 200,
      ids: "web-2",
      source: "redis",
      cacheStatus: "fingerpost; fwd=request",
    });
    expect(fixture.store.requests).toEqual([[HEAD], [HEAD, WEB]]);
  });

  it("finds a service that has just appeared, and one that has just ended", async () => {
    const fixture = await filled();
    expect((await fixture.look("new")).status).toBe(404);
    await fixture.publisher.put("new", [instance("new-1")]);
    expect((await fixture.look("new")).status).toBe(404);
    expect(await lookAgain(fixture, "/v1/services/new")).toMatchObject({ status: 200, ids: "new-1" });
    await fixture.publisher.end("new", fixture.clock.now() + 60_000);
    expect(await lookAgain(fixture, "/v1/services/new")).toMatchObject({ status: 200, ids: "" });
  });

  it("lists, picks and resolves what was published before it came", async () => {
    const fixture = await filled();
    await fixture.get("/v1/resolve?service=web&service=api");
    await fixture.get("/v1/services");
    await fixture.publisher.put("web", [instance("web-2")]);
    const pick = await fixture.get("/v1/services/web/pick", NO_CACHE);
    expect(await pick.json()).toMatchObject({ instance: { id: "web-2" } });
    await fixture.publisher.put("web", [instance("web-3")]);
    const resolved = await fixture.get("/v1/resolve?service=web&service=api", NO_CACHE);
    expect(await resolved.json()).toMatchObject({ services: { web: { instances: [{ id: "web-3" }] } } });
    await fixture.publisher.put("new", [instance("new-1")]);
    const listed = await fixture.get("/v1/services", NO_CACHE);
    expect(JSON.stringify(await listed.json())).toContain('"new"');
    expect(listed.headers.get("cache-status")).toBe("fingerpost; fwd=request");
  });

  it("shares one reading with all who came before that began, and the next one with all who came meanwhile", async () => {
    const fixture = await filled();
    await fixture.look("web");
    fixture.store.requests.length = 0;
    fixture.store.holding = true;
    const first = await begun(fixture, lookAgain(fixture));
    const rest = Array.from({ length: 50 }, () => lookAgain(fixture));
    await fixture.clock.advance(10);
    expect(fixture.store.requests).toEqual([[HEAD]]);
    // Published after the first reading had begun, and before the second.
    fixture.store.release();
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.clock.advance(0);
    expect((await first.answer).cacheStatus).toBe("fingerpost; fwd=request");
    for (const answer of await Promise.all(rest)) {
      expect(answer).toMatchObject({ ids: "web-2", cacheStatus: "fingerpost; fwd=request; collapsed" });
    }
    expect(fixture.store.requests.filter((keys) => keys.length === 1)).toHaveLength(2);
  });

  it("is served as always, and told so, once an isolate was asked too often", async () => {
    const fixture = await filled();
    await fixture.look("web");
    fixture.store.requests.length = 0;
    const seen = new Set<string | null>();
    for (let request = 0; request < 200; request++) seen.add((await lookAgain(fixture)).cacheStatus);
    expect(fixture.store.requests).toHaveLength(REVALIDATIONS_BURST);
    expect([...seen]).toEqual(["fingerpost; fwd=request", "fingerpost; hit; detail=revalidation-limited"]);
    await fixture.clock.advance(1000);
    for (let request = 0; request < 200; request++) await lookAgain(fixture);
    expect(fixture.store.requests).toHaveLength(REVALIDATIONS_BURST + REVALIDATIONS_PER_SECOND);
  });

  it("gets what is held within the budget while Redis hangs, and at once while it is known to be down", async () => {
    const fixture = await filled();
    await fixture.look("web");
    fixture.store.holding = true;
    const waiting = await begun(fixture, lookAgain(fixture));
    await fixture.clock.advance(249);
    expect(waiting.settled).toBe(false);
    await fixture.clock.advance(1);
    expect(await waiting.answer).toMatchObject({
      ids: "web-1",
      source: "memory",
      cacheStatus: "fingerpost; hit; detail=revalidation-failed",
    });
    fixture.store.failing = true;
    fixture.store.release();
    await fixture.clock.advance(3000);
    expect(await lookAgain(fixture)).toMatchObject({ ids: "web-1", source: "last-known-good" });
    fixture.store.holding = true;
    expect((await begun(fixture, lookAgain(fixture))).settled).toBe(true);
  });

  it("waits no longer than the budget where what is held is too old as well", async () => {
    const fixture = await filled();
    await fixture.look("web");
    await fixture.clock.advance(10_000);
    fixture.store.holding = true;
    const waiting = await begun(fixture, lookAgain(fixture));
    await fixture.clock.advance(250);
    expect(waiting.settled).toBe(true);
    expect(await waiting.answer).toMatchObject({ ids: "web-1", source: "last-known-good" });
  });

  it("that nothing is held for waits for the cold budget in all", async () => {
    const fixture = await filled();
    fixture.store.holding = true;
    const waiting = await begun(fixture, lookAgain(fixture));
    await fixture.clock.advance(1999);
    expect(waiting.settled).toBe(false);
    await fixture.clock.advance(1);
    expect(waiting.settled).toBe(true);
    expect((await waiting.answer).status).toBe(503);
  });
});
