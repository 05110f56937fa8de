import { afterEach, describe, expect, it } from "vitest";
import { serviceKey } from "../../contract/redis-keys.ts";
import { WITHHELD_RETRY_MS } from "../../registrar/publisher/backlog.ts";
import { COMMIT_SCRIPT } from "../../registrar/publisher/commit-script.ts";
import { createUpstashStore } from "../../registrar/publisher/redis-upstash.ts";
import { REQUEST_BYTES_MAX, REQUEST_KEYS_MAX } from "../../registrar/publisher/request-size.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import type { Gateway } from "../../gateway/run.ts";
import { startGateway, TOKEN } from "../gateway/gateway.ts";
import { createManualClock } from "../support/clock.ts";
import { until } from "../support/until.ts";
import { parts, storedIn } from "./fixture.ts";
import { live, setStage } from "./stage.ts";

const stage = setStage();
let gateway: Gateway | undefined;

afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
});

/** Notes each commit that reaches Redis: its snapshots by service, and its bytes as Upstash's protocol has them. */
interface Noted extends SnapshotStore {
  readonly requests: { readonly services: readonly string[]; readonly bytes: number }[];
  /** How often each service was written. */
  written(): Map<string, number>;
  away: boolean;
}

function noting(store: SnapshotStore): Noted {
  const prefix = serviceKey("default", "");
  const noted: Noted = {
    ...store,
    requests: [],
    away: false,
    timeMs: () => (noted.away ? Promise.reject(new Error("away")) : store.timeMs()),
    async evaluate(script, keys, args) {
      if (noted.away) throw new Error("away");
      const result = await store.evaluate(script, keys, args);
      if (script === COMMIT_SCRIPT) {
        const services = keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
        const bytes = Buffer.byteLength(
          JSON.stringify(["EVALSHA", "x".repeat(40), String(keys.length), ...keys, ...args]),
        );
        noted.requests.push({ services, bytes });
      }
      return result;
    },
    written() {
      const counts = new Map<string, number>();
      for (const service of noted.requests.flatMap(({ services }) => services)) {
        counts.set(service, (counts.get(service) ?? 0) + 1);
      }
      return counts;
    },
  };
  return noted;
}

describe("a namespace of 2,000 services and 20,000 instances", () => {
  it("is filled with each service once, in bounded requests; then a change costs one service", async () => {
    const noted = noting(stage.store);
    const namespace = stage.start(noted, { standby: true });
    for (let index = 0; index < 20_000; index++) {
      namespace.put(`s${index % 2000}`, `i${index}`, { metadata: { team: "a", commit: "3f2a9c1d" } });
    }
    namespace.lead();
    await live(namespace);
    expect(noted.written().size).toBe(2000);
    expect(Math.max(...noted.written().values())).toBe(1);
    for (const { services, bytes } of noted.requests) {
      expect(services.length).toBeLessThanOrEqual(REQUEST_KEYS_MAX);
      expect(bytes).toBeLessThanOrEqual(REQUEST_BYTES_MAX);
    }
    expect(noted.requests.length).toBeLessThanOrEqual(2000 / REQUEST_KEYS_MAX + 5);
    expect(await stage.stored.head()).toMatchObject({ complete: true, services: 2000, instances: 20_000 });

    noted.requests.length = 0;
    for (let change = 0; change < 300; change++) namespace.put(`s${change % 30}`, `i${change % 30}`, { port: 9000 });
    await live(namespace);
    expect(noted.written()).toEqual(new Map(Array.from({ length: 30 }, (_, index) => [`s${index}`, 1])));
    expect(noted.requests.length).toBe(1);
    expect(await stage.stored.head()).toMatchObject({ services: 2000, instances: 20_000 });
  });
});

describe("a service of 10,000 instances", () => {
  it.each(["direct", "upstash"])("is published and read back over %s", async (way) => {
    gateway = await startGateway({ redisUrl: stage.redis.url });
    const store = way === "direct" ? stage.store : createUpstashStore({ url: gateway.url, token: TOKEN });
    const namespace = stage.start(store, { standby: true });
    for (let index = 0; index < 10_000; index++)
      namespace.put("large", `i${index}`, { metadata: { team: "payments" } });
    namespace.put("small", "1");
    namespace.lead();
    await live(namespace);
    const snapshot = await storedIn(store).snapshot("large");
    expect(snapshot?.instances).toHaveLength(10_000);
    expect(await stage.stored.head()).toMatchObject({ services: 2, instances: 10_001, revision: snapshot?.revision });
    expect(await stage.stored.snapshot("small")).toMatchObject({ revision: snapshot?.revision });
  });

  it("is written at most once a second, with its newest state, while small ones go at once", async () => {
    const clock = createManualClock(Date.now());
    const noted = noting(stage.store);
    const namespace = stage.start(noted, { clock, standby: true });
    const metadata = { padding: "x".repeat(1000) };
    for (let index = 0; index < 400; index++) namespace.put("large", `i${index}`, { metadata });
    namespace.lead();
    await until("it is there", () => noted.written().get("large") === 1);
    await until("it is live", () => namespace.publisher.status().state === "live");
    const from = clock.monotonic();
    for (let change = 1; clock.monotonic() < from + 3000; change++) {
      namespace.put("large", "i0", { port: change, metadata });
      namespace.put("small", "1", { port: change });
      await until("the small one is there", async () => {
        await clock.advance(10);
        return (await stage.stored.snapshot("small"))?.instances[0]?.port === change;
      });
      await clock.advance(100);
    }
    const writes = (noted.written().get("large") ?? 0) - 1;
    expect(writes).toBeGreaterThanOrEqual(2);
    expect(writes).toBeLessThanOrEqual(4);
    expect(noted.written().get("small")).toBeGreaterThan(10);
    namespace.put("large", "i0", { port: 60_000, metadata });
    await until("its newest state is there", async () => {
      await clock.advance(100);
      return (await stage.stored.snapshot("large"))?.instances[0]?.port === 60_000;
    });
  });
});

describe("a backlog", () => {
  it("keeps one entry a service while Redis is away, and then writes the newest state of each once", async () => {
    const noted = noting(stage.store);
    const namespace = stage.start(noted);
    await live(namespace);
    noted.away = true;
    namespace.put("first", "1");
    await until("a commit has failed", () => namespace.publisher.status().lastError);
    for (let change = 0; change < 20_000; change++)
      namespace.put(`s${change % 100}`, "1", { port: 1 + (change % 60_000) });
    noted.requests.length = 0;
    noted.away = false;
    await live(namespace);
    expect(noted.written().size).toBe(101);
    expect(Math.max(...noted.written().values())).toBe(1);
    expect(noted.requests.length).toBeLessThanOrEqual(5);
    expect((await stage.stored.snapshot("s99"))?.instances).toMatchObject([{ port: 20_000 }]);
    expect((await stage.stored.snapshot("s0"))?.instances).toMatchObject([{ port: 19_901 }]);
  });
});

describe("a snapshot larger than Redis takes", () => {
  it("is left out and named, the other services are published, and it is there once it fits", async () => {
    gateway = await startGateway({ redisUrl: stage.redis.url });
    const noted = noting(createUpstashStore({ url: gateway.url, token: TOKEN }));
    let aheadMs = 0;
    const clock = { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs };
    let tries = 0;
    const counting: SnapshotStore = {
      ...noted,
      evaluate(script, keys, args) {
        tries += Number(args.some((text) => text.length > 10_000_000));
        return noted.evaluate(script, keys, args);
      },
    };
    const namespace = stage.start(counting, { clock });
    namespace.put("huge", "small-still");
    await live(namespace);
    const metadata = { a: "x".repeat(1900), b: "y".repeat(1900) };
    for (let index = 0; index < 2900; index++) namespace.put("huge", `i${index}`, { metadata });
    for (let index = 0; index < 10; index++) namespace.put(`other${index}`, "1");
    await until("the others are published", async () => (await stage.stored.snapshot("other9"))?.instances.length);
    await until("it is named", () => namespace.publisher.status().lastError);
    expect(namespace.publisher.status()).toMatchObject({
      state: "live",
      lastError: "Redis does not take the snapshots of huge, which are left out.",
    });
    // Its answer was plain: there was no second try.
    expect(tries).toBe(1);
    // Readers keep the one before.
    expect((await stage.stored.snapshot("huge"))?.instances.map(({ id }) => id)).toEqual(["small-still"]);
    expect(await stage.stored.head()).toMatchObject({ services: 11, instances: 11 });
    // What follows is published, and the large one is not tried again each time.
    namespace.put("other0", "2");
    await live(namespace);
    expect((await stage.stored.snapshot("other0"))?.instances).toHaveLength(2);

    for (let index = 0; index < 2900; index++) namespace.remove("huge", `i${index}`);
    namespace.put("huge", "2");
    aheadMs = WITHHELD_RETRY_MS;
    namespace.publisher.beat(Date.now());
    await until("it is there", async () => (await stage.stored.snapshot("huge"))?.instances.length === 2);
    await live(namespace);
    expect(namespace.publisher.status().lastError).toBeUndefined();
    expect(await stage.stored.head()).toMatchObject({ services: 11, instances: 13 });
  });
});

describe("a snapshot that does not get through", () => {
  const metadata = { padding: "x".repeat(1000) };

  it("is left out after some tries, when Redis answers everything else", async () => {
    const noted = noting(stage.store);
    const dropping: SnapshotStore = {
      ...noted,
      evaluate(script, keys, args) {
        // As of a proxy that closes the connection on a large body.
        const bytes = args.reduce((sum, text) => sum + text.length, 0);
        return bytes > 1_000_000
          ? Promise.reject(new Error("the connection failed"))
          : noted.evaluate(script, keys, args);
      },
    };
    const namespace = stage.start(dropping);
    await live(namespace);
    for (let index = 0; index < 1200; index++) namespace.put("large", `i${index}`, { metadata });
    namespace.put("small", "1");
    await until("it is named", () => namespace.publisher.status().lastError?.includes("snapshots of large"));
    await live(namespace);
    expect((await stage.stored.snapshot("small"))?.instances).toHaveLength(1);
    expect(await stage.stored.snapshot("large")).toBeUndefined();
  });

  it("waits for a Redis that is away, and is there as soon as that is back", async () => {
    let failures = 0;
    const onPublish = (result: string) => void (failures += Number(result === "failed"));
    const noted = noting(stage.store);
    const namespace = stage.start(noted, { onPublish });
    await live(namespace);
    noted.away = true;
    for (let index = 0; index < 1200; index++) namespace.put("large", `i${index}`, { metadata });
    await until("tries have failed", () => failures >= 5);
    noted.away = false;
    await until("it is there", async () => (await stage.stored.snapshot("large"))?.instances.length === 1200);
  });
});
