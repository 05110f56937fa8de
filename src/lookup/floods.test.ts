import { describe, expect, it } from "vitest";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

const HEAD = headKey("default");
const SECONDS = 5;

/** An isolate that holds the head, `web`, which is below the ring's floor, and not `api`, nor a catalog that it could trust. */
async function inUse(): Promise<Fixture> {
  const fixture = createFixture();
  for (const name of ["web", "api"]) fixture.publisher.services.set(name, [instance(`${name}-1`)]);
  await fixture.publisher.fill();
  await fixture.look("web");
  await fixture.look("nope");
  await fixture.publisher.fill();
  fixture.store.values.delete(catalogKey("default"));
  await fixture.clock.advance(3000);
  await fixture.look("nope");
  await fixture.clock.advance(3000);
  fixture.store.requests.length = 0;
  return fixture;
}

describe("a head that tells nothing is asked for once a fresh interval, whatever is looked up, when it", () => {
  it.each<[string, (fixture: Fixture) => Promise<void> | void]>([
    ["is gone", ({ store }) => store.values.clear()],
    ["is incomplete", ({ publisher }) => publisher.writeHead({ complete: false })],
    ["cannot be read", ({ store }) => void store.values.set(HEAD, "{")],
  ])("%s", async (_name, spoil) => {
    const fixture = await inUse();
    await spoil(fixture);
    for (let elapsed = 0; elapsed < SECONDS * 1000; elapsed += 50) {
      expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], source: "last-known-good" });
      expect((await fixture.look("api")).status).toBe(503);
      expect((await fixture.look(`nope-${elapsed}`)).status).toBe(503);
      await fixture.get("/v1/services");
      await fixture.get("/v1/resolve?service=api&service=web");
      await fixture.clock.advance(50);
    }
    expect(fixture.store.requests.length).toBeLessThanOrEqual(SECONDS);
    expect(fixture.store.requests.length).toBeGreaterThanOrEqual(SECONDS - 1);
  });
});

describe("names made up", () => {
  it("cost a bounded number of commands where there is no catalog, and what exists is still found", async () => {
    const fixture = await inUse();
    for (let name = 0; name < 2000; name++) expect((await fixture.look(`nope-${name}`)).status).toBe(503);
    expect(fixture.store.requests.length).toBeLessThan(120);
    await fixture.clock.advance(1000);
    expect((await fixture.look("api")).ids).toEqual(["api-1"]);
  });
});

describe("a service that ring or catalog name", () => {
  it.each<[string, (fixture: Fixture) => Promise<void>]>([
    ["the catalog", ({ publisher }) => publisher.fill()],
    ["the ring", ({ publisher }) => publisher.put("api", [instance("api-2")])],
  ])("and whose key is gone is asked for ever more seldom: %s", async (...row) => {
    const [by, publish] = row;
    const fixture = await inUse();
    await publish(fixture);
    const key = serviceKey("default", "api");
    fixture.store.values.delete(key);
    await fixture.look("web");
    fixture.store.requests.length = 0;
    const asked = () => fixture.store.requests.filter((keys) => keys.includes(key)).length;
    for (let elapsed = 0; elapsed < 100_000; elapsed += 500) {
      expect((await fixture.look("api")).status).toBe(503);
      await fixture.clock.advance(500);
    }
    expect(asked()).toBeGreaterThanOrEqual(8);
    expect(asked()).toBeLessThanOrEqual(9);
    // What a publisher writes again, whether the ring tells of it or only that something may have changed.
    await (by === "the ring" ? fixture.publisher.put("api", [instance("api-3")]) : fixture.publisher.fill());
    await fixture.look("web");
    await fixture.clock.advance(1001);
    await fixture.look("web");
    await fixture.clock.advance(0);
    expect((await fixture.look("api")).status).toBe(200);
  });

  it("and that a replica does not have yet is there within the fresh interval once it has", async () => {
    const fixture = await inUse();
    const lagging = new Map(fixture.store.values);
    await fixture.publisher.put("late", [instance("late-1")]);
    await fixture.look("nope");
    await fixture.clock.advance(1001);
    await fixture.look("web");
    const { values } = fixture.store;
    fixture.store.values = lagging;
    for (let elapsed = 0; elapsed < 20_000; elapsed += 250) {
      await fixture.look("late");
      await fixture.clock.advance(250);
    }
    fixture.store.values = values;
    await fixture.clock.advance(1001);
    expect((await fixture.look("late")).ids).toEqual(["late-1"]);
  });
});

describe("services that have ended", () => {
  it("cost nothing but the head once their tombstones are gone, however long the ring tells of them", async () => {
    const fixture = await inUse();
    await fixture.publisher.fill();
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) {
      await fixture.publisher.end(name, fixture.clock.now() + 1000);
      fixture.store.values.delete(serviceKey("default", name));
    }
    await fixture.clock.advance(5000);
    for (const name of names) expect((await fixture.look(name)).status).toBe(404);
    fixture.store.requests.length = 0;
    for (let elapsed = 0; elapsed < SECONDS * 1000; elapsed += 50) {
      for (const name of names) expect((await fixture.look(name)).status).toBe(404);
      await fixture.clock.advance(50);
    }
    expect(new Set(fixture.store.requests.map((keys) => keys.join()))).toEqual(new Set([HEAD]));
    expect(fixture.store.requests.length).toBeLessThanOrEqual(SECONDS);
    await fixture.publisher.put("c", [instance("c-2")]);
    await fixture.clock.advance(1001);
    expect((await fixture.look("c")).ids).toEqual(["c-2"]);
  });

  it("are found within the fresh interval when they are back, though their tombstone is held", async () => {
    const fixture = await inUse();
    await fixture.publisher.end("web", fixture.clock.now() + 5000);
    await fixture.look("web");
    await fixture.clock.advance(6000);
    expect((await fixture.look("web")).status).toBe(404);
    await fixture.publisher.put("web", [instance("web-2")]);
    await fixture.clock.advance(1001);
    expect((await fixture.look("web")).ids).toEqual(["web-2"]);
  });
});
