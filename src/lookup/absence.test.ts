import { beforeEach, describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { createFilledFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

const HEAD = headKey("default");
const WEB = serviceKey("default", "web");

let fixture: Fixture;

beforeEach(async () => {
  fixture = await createFilledFixture();
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
