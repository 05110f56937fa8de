import { beforeEach, describe, expect, it } from "vitest";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { createFilledFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

const HEAD = headKey("default");
const WEB = serviceKey("default", "web");

let fixture: Fixture;

beforeEach(async () => {
  fixture = await createFilledFixture();
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

describe("a publisher whose clock was ahead and is set back", () => {
  beforeEach(async () => {
    fixture.publisher.confirmedAt = fixture.clock.now() + 3_600_000;
    await fixture.publisher.writeHead();
    await fixture.look("web");
    await fixture.clock.advance(3000);
  });

  it("is believed again from its next change on: answers are not stale for as long as it was ahead", async () => {
    expect((await fixture.look("web")).stale).toBe(false);
    for (let second = 0; second < 20; second++) {
      fixture.publisher.confirmedAt = fixture.clock.now();
      await fixture.publisher.put("api", [instance(`api-${second}`)]);
      await fixture.clock.advance(1500);
      await fixture.look("web");
    }
    expect((await fixture.look("web")).stale).toBe(false);
  });

  it("is not told from a replica that lags while nothing changes: no answer seems younger than it is", async () => {
    const latest = fixture.publisher.confirmedAt;
    for (let second = 0; second < 20; second++) {
      fixture.publisher.confirmedAt = latest - (second % 2) * 1000;
      await fixture.publisher.writeHead();
      await fixture.clock.advance(1500);
      await fixture.look("web");
    }
    expect((await fixture.look("web")).stale).toBe(true);
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

  it("that no longer reaches back leaves held services unverified, and they are read again on demand", async () => {
    await fixture.look("web");
    await fixture.look("api");
    fixture.publisher.services.set("web", [instance("web-2")]);
    await fixture.publisher.fill();
    fixture.store.requests.length = 0;
    await fixture.clock.advance(2001);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], source: "redis" });
    expect(fixture.store.requests).toEqual([[HEAD], [HEAD, WEB, serviceKey("default", "api")]]);
  });

  it.each([
    ["as many at once as a request may name, those in use first", 1, 6],
    ["no more than a megabyte at once beyond what is asked for", 100, 40],
  ])("that no longer reaches back has what is in use read again together: %s", async (...row) => {
    const [, instances, requestsMax] = row;
    const names = Array.from({ length: 500 }, (_, index) => `s-${index}`);
    const metadata = { note: "x".repeat(instances) };
    for (const name of names) {
      fixture.publisher.services.set(
        name,
        Array.from({ length: instances }, (_, index) => instance(`${name}-${index}`, { metadata })),
      );
    }
    await fixture.publisher.fill();
    for (const name of names) await fixture.look(name);
    const used = names.slice(0, 300);
    await fixture.clock.advance(1001);
    for (const name of used) await fixture.look(name);
    await fixture.publisher.fill();
    await fixture.clock.advance(1001);
    fixture.store.requests.length = 0;
    for (let round = 0; round < 3; round++) {
      for (const name of used) expect(await fixture.look(name)).toMatchObject({ stale: false });
      await fixture.clock.advance(0);
    }
    const read = fixture.store.requests.flat().filter((key) => key !== HEAD);
    expect(new Set(read).size).toBe(read.length);
    expect(read).toEqual(expect.arrayContaining(used.map((name) => serviceKey("default", name))));
    expect(fixture.store.requests.length).toBeLessThanOrEqual(requestsMax);
    const characters = fixture.publisher.snapshotText("s-0").length;
    expect(Math.max(...fixture.store.requests.map((keys) => keys.length * characters))).toBeLessThan(1024 * 1024);
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

describe("the age of what is older than the head", () => {
  it("is that of the last head that it was current under: no later confirmation makes it younger", async () => {
    const ageOf = async () => Number((await fixture.get("/v1/services/web")).headers.get("fingerpost-age-ms"));
    await fixture.look("web");
    // The publisher is away, and Redis tells the same again and again.
    for (let second = 0; second < 8; second++) {
      await fixture.clock.advance(1500);
      await fixture.look("web");
    }
    const away = await ageOf();
    expect(away).toBeGreaterThanOrEqual(12_000);
    const before = fixture.store.values.get(WEB) ?? "";
    fixture.publisher.confirmedAt = fixture.clock.now();
    await fixture.publisher.put("web", [instance("web-2")]);
    // A replica has the new head, and not yet the new snapshot.
    fixture.store.values.set(WEB, before);
    await fixture.clock.advance(1100);
    await fixture.look("web");
    await fixture.clock.advance(100);
    expect((await fixture.look("web")).ids).toEqual(["web-1"]);
    expect(await ageOf()).toBeGreaterThan(away + 1000);
  });

  it("is so of a listing as well, whose names the ring no longer reaches back to", async () => {
    const ageOf = async () => Number((await fixture.get("/v1/services")).headers.get("fingerpost-age-ms"));
    await ageOf();
    for (let second = 0; second < 8; second++) {
      await fixture.clock.advance(1500);
      await fixture.look("web");
    }
    const away = await ageOf();
    expect(away).toBeGreaterThanOrEqual(12_000);
    const before = fixture.store.values.get(catalogKey("default")) ?? "";
    fixture.publisher.confirmedAt = fixture.clock.now();
    fixture.publisher.epoch = 3;
    fixture.publisher.services.set("other", [instance("other-1")]);
    await fixture.publisher.fill();
    // A replica has the new head, and not yet the new catalog.
    fixture.store.values.set(catalogKey("default"), before);
    await fixture.clock.advance(1100);
    await fixture.look("web");
    await fixture.clock.advance(100);
    const response = await fixture.get("/v1/services");
    expect(await response.text()).not.toContain("other");
    expect(Number(response.headers.get("fingerpost-age-ms"))).toBeGreaterThan(away + 1000);
  });
});
