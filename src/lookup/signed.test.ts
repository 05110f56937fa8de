import { beforeEach, describe, expect, it } from "vitest";
import { encodeCatalog } from "../../contract/catalog.ts";
import { decodeHead, encodeHead, type Head } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { DOCUMENT_LIFE_MS, HEAD_LIFE_MS } from "../../registrar/signing/seal.ts";
import { until } from "../../test/support/until.ts";
import { createFakeDeep } from "../../test/resolver/fake-deep.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { createKeySeal } from "../../test/resolver/sealed.ts";
import { instance } from "../../test/support/instance.ts";
import { publicTextOf, SIGNING_KEY, SIGNING_KEY_NEXT } from "../../test/support/signing.ts";
import type { ColoCache } from "../store/colo.ts";
import type { StoredReading } from "../store/stored-reading.ts";

// Each test is a row of the table in docs/adr/0017: what somebody can do who may write to Redis, or to the colo cache.

const HEAD = headKey("default");
const CATALOG = catalogKey("default");
const WEB = serviceKey("default", "web");
const API = serviceKey("default", "api");
const publicKeys = [publicTextOf(SIGNING_KEY)];

let fixture: Fixture;
const seal = await createKeySeal(SIGNING_KEY, () => fixture.clock.now());
const sealStrange = await createKeySeal(SIGNING_KEY_NEXT, () => fixture.clock.now());

const GOOD = { ids: ["web-1"], status: 200, stale: false };
const LAST_KNOWN_GOOD = { ids: ["web-1"], status: 200, source: "last-known-good", stale: true };

beforeEach(async () => {
  await start();
  fixture.publisher.services.set("web", [instance("web-1")]);
  fixture.publisher.services.set("api", [instance("api-1")]);
  await fixture.publisher.fill();
});

async function start(options: Parameters<typeof createFixture>[0] = {}): Promise<void> {
  fixture = createFixture({ publicKeys, seal, ...options });
}

/** Another isolate, which knows nothing yet, at the same time before the same Redis. */
async function anotherIsolate(options: Parameters<typeof createFixture>[0] = {}): Promise<Fixture> {
  const other = createFixture({ publicKeys, seal, ...options });
  await other.clock.advance(fixture.clock.monotonic());
  other.store.values = fixture.store.values;
  return other;
}

const stored = (key: string) => fixture.store.values.get(key) ?? "";
const put = (key: string, text: string) => void fixture.store.values.set(key, text);
const head = (change: Partial<Head>) => encodeHead({ ...decodeHead(stored(HEAD), "default"), ...change });
const reasons = (of: Fixture = fixture) => of.refused.map(({ kind, name, reason }) => `${kind} ${name} ${reason}`);

/** A later look, which waits for Redis. */
async function later(service: string) {
  await fixture.clock.advance(2001);
  return fixture.look(service);
}

describe("a stored document", () => {
  it("that is signed with a key of the resolver's is served as ever", async () => {
    expect(await fixture.look("web")).toMatchObject({ ...GOOD, source: "redis" });
    await fixture.publisher.put("web", [instance("web-2")]);
    expect(await later("web")).toMatchObject({ ids: ["web-2"], stale: false });
    expect((await fixture.look("nobody")).status).toBe(404);
    expect(reasons()).toEqual([]);
  });

  it.each<[string, string, () => string]>([
    ["is not signed", "unsigned", () => fixture.publisher.snapshotText("web")],
    ["was changed", "forged", () => stored(WEB).replace('"port":', '"port":1')],
    ["is another service's", "forged", () => stored(API)],
    ["is of another namespace", "forged", () => seal(serviceKey("other", "web"), snapshotOf("web"), "other")],
    ["is of another kind", "forged", () => seal(CATALOG, snapshotOf("web"))],
    ["has a strange key", "unknown-key", () => sealStrange(WEB, snapshotOf("web"))],
    ["is of a format to come", "unreadable", () => stored(WEB).replace("signed:1", "signed:2")],
    ["is garbage", "unsigned", () => "garbage"],
  ])(
    "that %s is refused: who holds it has last-known-good, who does not has none, and a good one ends it",
    async (...row) => {
      const [, reason, forge] = row;
      expect(await fixture.look("web")).toMatchObject(GOOD);
      await fixture.publisher.put("web", [instance("web-1")]);
      const good = stored(WEB);
      put(WEB, forge());
      const other = await anotherIsolate();
      expect(await later("web")).toEqual(LAST_KNOWN_GOOD);
      expect((await other.look("web")).status).toBe(503);
      expect((await other.look("api")).status).toBe(200);
      expect(reasons(other)).toEqual([`service web ${reason}`]);
      expect(await later("web")).toEqual(LAST_KNOWN_GOOD);
      expect(reasons()).toEqual([`service web ${reason}`, `service web ${reason}`]);
      expect(fixture.logged).toEqual(["a stored document is refused"]);
      put(WEB, good);
      expect(await later("web")).toMatchObject(GOOD);
      expect(fixture.logged).toEqual(["a stored document is refused", "a stored document is taken again"]);
    },
  );

  it("is told by name for so many services only, however many are spoilt", async () => {
    const names = Array.from({ length: 200 }, (_, index) => `s${index}`);
    for (const name of names) fixture.publisher.services.set(name, [instance("1")]);
    await fixture.publisher.fill();
    for (const name of names) put(serviceKey("default", name), "garbage");
    for (const name of names) await fixture.look(name);
    expect(fixture.refused).toHaveLength(200);
    expect(fixture.logged).toHaveLength(65);
  });
});

describe("a head", () => {
  it.each<[string, string, () => string]>([
    ["is not signed", "unsigned", () => head({ revision: 1000 })],
    ["was changed", "forged", () => stored(HEAD).replace('"revision":11', '"revision":99')],
    ["is a catalog", "forged", () => stored(CATALOG)],
    ["is of another namespace", "forged", () => seal(headKey("other"), head({ namespace: "other" }), "other")],
    ["has a strange key", "unknown-key", () => sealStrange(HEAD, head({ revision: 1000 }))],
    ["has an absurd epoch", "implausible", () => seal(HEAD, head({ epoch: fixture.clock.now() + 90_000_000 }))],
  ])("that %s is refused: nothing is learnt, and nothing is said not to exist", async (...row) => {
    const [, reason, forge] = row;
    expect(await fixture.look("web")).toMatchObject(GOOD);
    const good = stored(HEAD);
    put(HEAD, forge());
    const other = await anotherIsolate();
    expect(await later("web")).toEqual(LAST_KNOWN_GOOD);
    expect((await later("nobody")).status).toBe(503);
    expect((await other.look("web")).status).toBe(503);
    expect(new Set(reasons())).toEqual(new Set([`head  ${reason}`]));
    expect(fixture.logged).toEqual(["a stored document is refused"]);
    put(HEAD, good);
    expect(await later("web")).toMatchObject(GOOD);
    expect((await fixture.look("nobody")).status).toBe(404);
  });

  it("of an older epoch is refused, counted and told once, though it is signed", async () => {
    const old = stored(HEAD);
    fixture.publisher.epoch = 2;
    await fixture.publisher.fill();
    await fixture.publisher.put("web", [instance("web-1")]);
    expect(await fixture.look("web")).toMatchObject(GOOD);
    put(HEAD, old);
    expect(await later("web")).toEqual(LAST_KNOWN_GOOD);
    expect(await later("web")).toEqual(LAST_KNOWN_GOOD);
    expect(reasons()).toEqual(["head  replayed", "head  replayed"]);
    expect(fixture.logged).toEqual(["a stored document is refused"]);
    await fixture.publisher.writeHead();
    expect(await later("web")).toMatchObject(GOOD);
  });

  it("that has expired keeps what is held as last-known-good, and says of nothing that it does not exist", async () => {
    expect(await fixture.look("web")).toMatchObject(GOOD);
    await fixture.clock.advance(HEAD_LIFE_MS);
    expect(await fixture.look("web")).toEqual(LAST_KNOWN_GOOD);
    expect((await later("nobody")).status).toBe(503);
    expect(fixture.logged).toEqual(["a stored document is refused"]);
    fixture.publisher.confirmedAt = fixture.clock.now();
    await fixture.publisher.writeHead();
    expect(await later("web")).toMatchObject(GOOD);
    expect((await fixture.look("nobody")).status).toBe(404);
    expect(fixture.logged).toEqual(["a stored document is refused", "a stored document is taken again"]);
  });

  it("that has expired gives an isolate that knows nothing last-known-good, with the age of its confirmation", async () => {
    await fixture.clock.advance(HEAD_LIFE_MS);
    expect(await fixture.look("web")).toEqual(LAST_KNOWN_GOOD);
    const response = await fixture.get("/v1/services/web");
    expect(response.headers.get("fingerpost-age-ms")).toBe(String(HEAD_LIFE_MS));
    const listing = await fixture.get("/v1/services");
    expect(listing.headers.get("fingerpost-source")).toBe("last-known-good");
    expect(((await listing.json()) as { services: unknown[] }).services).toHaveLength(2);
    expect((await fixture.look("nobody")).status).toBe(503);
    fixture.publisher.confirmedAt = fixture.clock.now();
    await fixture.publisher.writeHead();
    expect(await later("web")).toMatchObject(GOOD);
    expect((await later("nobody")).status).toBe(404);
  });

  it("put back within its life takes nobody back, and ages", async () => {
    const old = stored(HEAD);
    await fixture.publisher.put("web", [instance("web-2")]);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"] });
    put(HEAD, old);
    await fixture.clock.advance(20_000);
    expect(await fixture.look("web")).toMatchObject({ ids: ["web-2"], source: "last-known-good", stale: true });
    const other = await anotherIsolate();
    expect(await other.look("web")).toMatchObject({ ids: ["web-2"], status: 200, stale: true });
  });
});

describe("a snapshot put back", () => {
  it("stays pending while the ring names a later one", async () => {
    const old = stored(WEB);
    await fixture.publisher.put("web", [instance("web-2")]);
    put(WEB, old);
    expect(await fixture.look("web")).toEqual({ ...LAST_KNOWN_GOOD, ids: ["web-1"] });
    await fixture.publisher.put("web", [instance("web-2")]);
    expect(await later("web")).toMatchObject({ ids: ["web-2"], stale: false });
    put(WEB, old);
    await fixture.publisher.put("api", [instance("api-1")]);
    expect(await later("web")).toMatchObject({ ids: ["web-2"], stale: false });
  });

  it("below the ring's floor never replaces a later one that is held, and ends being current with its life", async () => {
    const old = stored(WEB);
    await fixture.publisher.put("web", [instance("web-2")]);
    const latest = stored(WEB);
    await fixture.look("web");
    await fixture.publisher.fill();
    put(WEB, old);
    expect(await later("web")).toMatchObject({ ids: ["web-2"] });
    expect(latest).not.toBe(old);
    // Nothing that is signed speaks against it for who knows no other: the publisher's audit puts that right.
    expect(await (await anotherIsolate()).look("web")).toMatchObject(GOOD);
    await fixture.clock.advance(DOCUMENT_LIFE_MS);
    await fixture.publisher.writeHead();
    const other = await anotherIsolate();
    expect(await other.look("web")).toEqual(LAST_KNOWN_GOOD);
    expect(reasons(other)).toEqual(["service web expired"]);
  });

  it("of a time when the service had ended is not believed once that is over", async () => {
    await fixture.publisher.end("web", fixture.clock.now() + 120_000);
    const tombstone = stored(WEB);
    await fixture.publisher.put("web", [instance("web-1")]);
    await fixture.publisher.fill();
    await fixture.clock.advance(120_000);
    await fixture.publisher.writeHead();
    put(WEB, tombstone);
    expect((await fixture.look("web")).status).toBe(503);
    expect(reasons()).toEqual(["service web expired"]);
  });
});

describe("a catalog", () => {
  it.each<[string, () => string]>([
    ["is not signed", () => stored(CATALOG).replace(/^.*\n/, "").replace('["web",1]', '["gone",1]')],
    ["was changed", () => stored(CATALOG).replace('["web",1]', '["gone",1]')],
    ["is older than the head says", () => older],
  ])("that %s says of no service that it does not exist", async (...row) => {
    const [, forge] = row;
    older = stored(CATALOG);
    fixture.publisher.services.set("new", [instance("new-1")]);
    await fixture.publisher.fill();
    const key = serviceKey("default", "new");
    fixture.store.values.delete(key);
    put(CATALOG, forge());
    expect((await fixture.look("new")).status).toBe(503);
    expect((await fixture.look("gone")).status).toBe(503);
  });

  let older = "";

  it("that has expired beside a head that has not is listed as last-known-good, and no absence follows", async () => {
    await fixture.clock.advance(DOCUMENT_LIFE_MS);
    await fixture.publisher.writeHead();
    const listing = await fixture.get("/v1/services");
    expect(listing.headers.get("fingerpost-source")).toBe("last-known-good");
    expect(((await listing.json()) as { services: unknown[] }).services).toHaveLength(2);
    expect((await later("nobody")).status).toBe(503);
  });
});

describe("an expired catalog", () => {
  const names = async () => {
    const body = (await (await fixture.get("/v1/services")).json()) as { services: { name: string }[] };
    return body.services.map(({ name }) => name);
  };

  it("is listed where what is held has a gap that it closes", async () => {
    expect(await names()).toEqual(["api", "web"]);
    fixture.publisher.services.set("new", [instance("new-1")]);
    await fixture.publisher.fill();
    await fixture.clock.advance(DOCUMENT_LIFE_MS);
    await fixture.publisher.writeHead();
    expect(await names()).toEqual(["api", "new", "web"]);
  });

  it("takes nothing from one that is held and complete", async () => {
    expect(await names()).toEqual(["api", "web"]);
    await fixture.publisher.put("new", [instance("new-1")]);
    const { epoch, revision } = fixture.publisher;
    const services = new Map([
      ["api", 1],
      ["new", 1],
      ["web", 1],
    ]);
    put(CATALOG, seal(CATALOG, encodeCatalog({ namespace: "default", epoch, revision, services })));
    await fixture.publisher.writeHead({ catalogRevision: revision });
    expect((await later("nobody")).status).toBe(404);
    await fixture.clock.advance(DOCUMENT_LIFE_MS);
    await fixture.publisher.writeHead({ catalogRevision: revision });
    expect(await names()).toEqual(["api", "new", "web"]);
    expect(reasons()).toEqual(["catalog  expired"]);
    expect((await fixture.look("nobody")).status).toBe(404);
  });
});

describe("the colo cache", () => {
  const cached = new Map<string, StoredReading>();
  const colo: ColoCache = {
    get: (namespace, kind, name) => Promise.resolve(cached.get(`${namespace} ${kind} ${name}`)),
    put: (namespace, kind, name, entry) => Promise.resolve(void cached.set(`${namespace} ${kind} ${name}`, entry)),
  };

  /** One isolate has filled the cache, and changes every entry as told; then another one asks. */
  async function spoilt(change: (entry: StoredReading, key: string) => StoredReading) {
    cached.clear();
    const filling = await anotherIsolate({ colo });
    await filling.look("web");
    await filling.clock.advance(0);
    expect(cached.size).toBe(2);
    for (const [key, entry] of cached) cached.set(key, change(entry, key));
    return anotherIsolate({ colo });
  }

  it("gives what is signed without asking Redis, and what is not never", async () => {
    const good = await spoilt((entry) => entry);
    expect(await good.look("web")).toMatchObject({ ...GOOD, source: "colo" });
    expect(good.store.requests).toEqual([]);

    for (const change of [
      (entry: StoredReading) => ({ ...entry, text: entry.text.replace("web-1", "web-6") }),
      (entry: StoredReading) => ({ ...entry, text: entry.text.replace(/^.*\n/, "") }),
      (entry: StoredReading, key: string) => (key.includes("service") ? { ...entry, text: stored(API) } : entry),
    ]) {
      const asking = await spoilt(change);
      expect(await asking.look("web")).toMatchObject({ ...GOOD, source: "redis" });
      expect(asking.refused.every(({ from }) => from === "colo")).toBe(true);
      expect(asking.refused.length).toBeGreaterThan(0);
    }
  });

  it("calls nothing young for longer than a head lives, whatever it says of when and with what it was read", async () => {
    await spoilt((entry) => entry);
    await fixture.clock.advance(HEAD_LIFE_MS);
    await fixture.publisher.put("web", [instance("web-2")]);
    const verified = { epoch: 2 ** 50, revision: 2 ** 50, confirmedAt: fixture.clock.now() };
    for (const [key, entry] of cached) cached.set(key, { ...entry, readAt: fixture.clock.now(), verified });
    const asking = await anotherIsolate({ colo });
    expect(await asking.look("web")).toMatchObject({ ids: ["web-2"], source: "redis" });
    expect(new Set(reasons(asking))).toEqual(new Set(["head  expired"]));
  });

  it("is left nothing that was refused or has expired", async () => {
    cached.clear();
    put(WEB, "garbage");
    const asking = await anotherIsolate({ colo });
    await asking.look("web");
    await asking.clock.advance(0);
    expect([...cached.keys()]).toEqual(["default head "]);
    await fixture.clock.advance(HEAD_LIFE_MS);
    cached.clear();
    await (await anotherIsolate({ colo })).look("api");
    expect([...cached.keys()]).toEqual(["default service api"]);
  });
});

describe("the deep store", () => {
  it("gives last-known-good of what is signed, though it has expired, and of nothing else", async () => {
    const deep = createFakeDeep();
    const filling = await anotherIsolate({ deep, random: () => 0 });
    for (const service of ["web", "api"]) {
      await filling.look(service);
      await filling.clock.advance(0);
    }
    await until("both are copied", () => deep.values.has("1/default/service/api"));
    for (const [key, text] of deep.values) {
      if (key.endsWith("api")) deep.values.set(key, text.replace("api-1", "api-6"));
    }
    await fixture.clock.advance(DOCUMENT_LIFE_MS);
    const asking = await anotherIsolate({ deep });
    asking.store.failing = true;
    expect(await asking.look("web")).toEqual(LAST_KNOWN_GOOD);
    expect((await asking.look("api")).status).toBe(503);
    expect(asking.refused.every(({ from }) => from === "deep")).toBe(true);
    expect(reasons(asking)).toContain("service api forged");
  });
});

/** The document of a service as it is now. */
function snapshotOf(service: string): string {
  return fixture.publisher.snapshotText(service);
}
