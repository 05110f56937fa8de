import { beforeEach, describe, expect, it } from "vitest";
import type { ServiceAnswer } from "../../contract/http.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { readEvents, type EventReader } from "../../test/resolver/event-stream.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

let fixture: Fixture;

beforeEach(async () => {
  fixture = await filled();
});

async function filled(options: Parameters<typeof createFixture>[0] = {}): Promise<Fixture> {
  const made = createFixture(options);
  made.publisher.services.set("web", [instance("web-1", { tags: ["blue"] })]);
  made.publisher.services.set("api", [instance("api-1")]);
  await made.publisher.fill();
  return made;
}

async function watch(path: string, headers: Record<string, string> = {}, made = fixture): Promise<EventReader> {
  const response = await made.get(`/v1/services/${path}`, headers);
  expect(response.status).toBe(200);
  const reader = readEvents(response);
  await made.clock.advance(0);
  return reader;
}

/** Advances in steps as a publisher that is alive confirms. */
async function pass(ms: number, made = fixture): Promise<void> {
  for (let passed = 0; passed < ms; passed += 2000) {
    made.publisher.confirmedAt = made.clock.now();
    await made.publisher.writeHead();
    await made.clock.advance(Math.min(2000, ms - passed));
  }
}

/** What a client sees, each event as its name and what matters of it. */
function told({ events }: EventReader): string[] {
  return events
    .filter(({ event }) => event !== "retry" && event !== ":")
    .map(({ event, data }) => {
      if (event === "service") return (data as ServiceAnswer).instances.map(({ id }) => id).join();
      return event === "status" ? `stale: ${String((data as { stale: boolean }).stale)}` : event;
    });
}

describe("a stream", () => {
  it("begins with what a lookup answers, and goes on with each change", async () => {
    const reader = await watch("web/watch");
    expect(reader.events[0]).toMatchObject({ event: "retry" });
    const body: unknown = await (await fixture.get("/v1/services/web")).json();
    expect(reader.events[1]).toEqual({ event: "service", id: "11", data: body });
    await fixture.publisher.put("web", [instance("web-1", { tags: ["blue"] }), instance("web-2")]);
    await pass(1500);
    expect(reader.events[2]).toMatchObject({ event: "service", id: "12", data: { revision: 12 } });
    expect(told(reader)).toEqual(["web-1", "web-1,web-2"]);
  });

  it("says nothing of changes that its filters hide, and moves on the id with a heartbeat", async () => {
    const reader = await watch("web/watch?tag=blue");
    await fixture.publisher.put("web", [instance("web-1", { tags: ["blue"] }), instance("web-9")]);
    await pass(32_000);
    expect(told(reader)).toEqual(["web-1"]);
    expect(reader.events.filter(({ event }) => event === ":").map(({ id }) => id)).toEqual(["12", undefined]);
    await fixture.publisher.put("web", [instance("web-2", { tags: ["blue"] })]);
    await pass(2000);
    expect(told(reader)).toEqual(["web-1", "web-2"]);
  });

  it("that goes on from the current revision begins with the next change, and from any other id with what is current", async () => {
    const current = await watch("web/watch", { "last-event-id": "11" });
    const started = await watch("web/watch?revision=11", { accept: "text/event-stream" });
    const others = await Promise.all(["10", "99", "", "abc"].map((id) => watch("web/watch", { "last-event-id": id })));
    expect([told(current), told(started)]).toEqual([[], []]);
    expect(others.map(told)).toEqual([["web-1"], ["web-1"], ["web-1"], ["web-1"]]);
    await fixture.publisher.put("web", [instance("web-2")]);
    await pass(2000);
    expect(told(current)).toEqual(["web-2"]);
  });

  it("beats at least every 15 seconds, and ends within five minutes with a time to come back", async () => {
    const reader = await watch("web/watch");
    await pass(238_000);
    const beats = reader.events.filter(({ event }) => event === ":").length;
    expect(beats).toBeGreaterThanOrEqual(16);
    expect(beats).toBeLessThanOrEqual(20);
    expect(reader.ended).toBe(false);
    await pass(62_000);
    expect(reader.ended).toBe(true);
    expect(reader.events.at(-1)).toMatchObject({ event: "retry" });
    expect(told(reader)).toEqual(["web-1"]);
  });

  it("tells that the service is unknown, and what it is once it is there again", async () => {
    const reader = await watch("late/watch");
    expect(reader.events[1]).toMatchObject({ event: "unknown", data: { status: 404, code: "not_found" } });
    await fixture.publisher.put("late", [instance("late-1")]);
    await pass(3000);
    await fixture.publisher.end("late", fixture.clock.now() + 10_000);
    await pass(4000);
    expect(told(reader)).toEqual(["unknown", "late-1", ""]);
    await pass(10_000);
    expect(told(reader)).toEqual(["unknown", "late-1", "", "unknown"]);
    await fixture.publisher.put("late", [instance("late-2")]);
    await pass(3000);
    expect(told(reader).at(-1)).toBe("late-2");
  });

  it("says once that it may be out of date while Redis is down, and once that it no longer is", async () => {
    const reader = await watch("web/watch");
    fixture.store.failing = true;
    await fixture.clock.advance(20_000);
    expect(told(reader)).toEqual(["web-1", "stale: true"]);
    const { data } = reader.events.find(({ event }) => event === "status") ?? {};
    expect((data as { ageMs: number }).ageMs).toBeGreaterThan(2000);
    const late = await watch("web/watch");
    expect(told(late)).toEqual(["stale: true", "web-1"]);
    fixture.store.failing = false;
    await fixture.publisher.put("web", [instance("web-2")]);
    await pass(6000);
    expect(told(reader)).toEqual(["web-1", "stale: true", "stale: false", "web-2"]);
  });

  it("that is out of date no longer is when the service is known to have ended", async () => {
    const reader = await watch("web/watch");
    fixture.store.failing = true;
    await fixture.clock.advance(5000);
    fixture.store.failing = false;
    await fixture.publisher.end("web", fixture.clock.now());
    await pass(6000);
    expect(told(reader)).toEqual(["web-1", "stale: true", "stale: false", "unknown"]);
  });

  it("may be out of date when what it watches was pushed out of memory and Redis is down", async () => {
    const small = await filled({ memory: { entriesMax: 1 } });
    const reader = await watch("web/watch", {}, small);
    await small.get("/v1/services/api");
    small.store.failing = true;
    await small.clock.advance(3000);
    expect(told(reader)).toEqual(["web-1", "stale: true"]);
    expect(reader.ended).toBe(false);
  });

  it("orders what it tells by what is near, and tells when that changes", async () => {
    const others = [instance("web-1", { region: "us" }), instance("web-2", { region: "us" })];
    await fixture.publisher.put("web", others);
    const reader = await watch("web/watch?near=eu&limit=1");
    const plain = await watch("web/watch?limit=1");
    await fixture.publisher.put("web", [...others, instance("web-3", { region: "eu" })]);
    await pass(2000);
    expect([told(reader), told(plain)]).toEqual([["web-1", "web-3"], ["web-1"]]);
  });

  it("does not call out of date what a slow reading is on its way for, whatever the times", async () => {
    const quick = await filled({ freshness: { freshMs: 100, swrMs: 100 } });
    const reader = await watch("web/watch", {}, quick);
    await pass(20_000, quick);
    expect(told(reader)).toEqual(["web-1"]);
  });

  it("gives a reader that did not read what is latest, and nothing of what lay between", async () => {
    const response = await fixture.get("/v1/services/web/watch");
    for (let change = 2; change <= 20; change++) {
      await fixture.publisher.put("web", [instance(`web-${change}`)]);
      await pass(2000);
    }
    const reader = readEvents(response);
    await pass(2000);
    expect(told(reader)).toEqual(["web-1", "web-20"]);
  });

  it("gives a reader that did not read what changed for it, also when what came last did not", async () => {
    const response = await fixture.get("/v1/services/web/watch?tag=blue");
    const second = instance("web-2", { tags: ["blue"] });
    await fixture.publisher.put("web", [second]);
    await pass(2000);
    await fixture.publisher.put("web", [second, instance("web-3")]);
    await pass(2000);
    const reader = readEvents(response);
    await pass(2000);
    expect(told(reader)).toEqual(["web-1", "web-2"]);
  });

  it("that must not be answered from a cache begins with what Redis has, and goes on as every other", async () => {
    await watch("web/watch");
    await fixture.publisher.put("web", [instance("web-2")]);
    const reader = await watch("web/watch", { "cache-control": "no-cache" });
    expect(told(reader)).toEqual(["web-2"]);
    await fixture.publisher.put("web", [instance("web-3")]);
    await pass(2000);
    expect(told(reader)).toEqual(["web-2", "web-3"]);
  });

  it("is refused as a lookup is where nothing is known", async () => {
    const empty = createFixture();
    const response = await empty.get("/v1/services/web/watch");
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
  });

  it("is not opened by HEAD", async () => {
    const single = await filled({ watchersMax: 1 });
    const response = await single.get("/v1/services/web/watch", {}, "HEAD");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(await response.text()).toBe("");
    expect((await single.get("/v1/services/web/watch")).status).toBe(200);
  });
});

describe("many streams", () => {
  it("cost the same readings as one", async () => {
    const requestsOf = async (count: number) => {
      let seed = 1;
      const made = await filled({ random: () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647 });
      const readers = [];
      for (let index = 0; index < count; index++) readers.push(await watch("web/watch", {}, made));
      made.store.requests.length = 0;
      await pass(30_000, made);
      expect(readers.every(({ ended }) => !ended)).toBe(true);
      expect(new Set(made.store.requests.map(String))).toEqual(new Set([headKey("default")]));
      return made.store.requests.length;
    };
    const alone = await requestsOf(1);
    const together = await requestsOf(200);
    expect(alone).toBeGreaterThan(20);
    // More watchers only bring a look closer to when it is due.
    expect(together).toBeLessThanOrEqual(30);
  });

  it("leave a slow reading to the one that began it, and all see what it brings", async () => {
    let keptAlive = 0;
    const made = await filled({ platform: { background: () => void keptAlive++ } });
    const readers = [];
    for (let index = 0; index < 50; index++) readers.push(await watch("web/watch", {}, made));
    await made.publisher.put("web", [instance("web-2")]);
    keptAlive = 0;
    made.store.holding = true;
    await made.clock.advance(1700);
    expect(keptAlive).toBe(1);
    made.store.release();
    await made.clock.advance(1000);
    expect(readers.filter((reader) => told(reader).join() !== "web-1,web-2")).toEqual([]);
  });

  it("are bounded, and a seat is free again when its stream is left or has ended", async () => {
    const two = await filled({ watchersMax: 2 });
    const first = await watch("web/watch", {}, two);
    await watch("api/watch", {}, two);
    const refused = await two.get("/v1/services/web/watch");
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(2);
    await pass(20_000, two);
    expect((await two.get("/v1/services/web/watch")).status).toBe(503);
    await first.cancel();
    await watch("web/watch", {}, two);
    expect((await two.get("/v1/services/web/watch")).status).toBe(503);
    await pass(300_000, two);
    await Promise.all([watch("web/watch", {}, two), watch("web/watch", {}, two)]);
  });

  it("that were left ask Redis nothing more", async () => {
    const reader = await watch("web/watch");
    await reader.cancel();
    // This one looks whenever it does by a reading, and is left while it waits for that.
    const waiting = await watch("late/watch");
    fixture.store.holding = true;
    await fixture.clock.advance(1150);
    await waiting.cancel();
    fixture.store.release();
    await fixture.clock.advance(0);
    fixture.store.requests.length = 0;
    await pass(10_000);
    expect(fixture.store.requests).toEqual([]);
  });

  it("end soon after the process is told to", async () => {
    const reader = await watch("web/watch");
    fixture.resolver.endWatches();
    await fixture.clock.advance(1300);
    expect(reader.ended).toBe(true);
    expect(reader.events.at(-1)).toMatchObject({ event: "retry" });
  });
});
