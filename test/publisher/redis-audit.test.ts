import { describe, expect, it } from "vitest";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { AUDIT_SCRIPT } from "../../registrar/publisher/audit-script.ts";
import { CATALOG_INTERVAL_MS } from "../../registrar/publisher/namespace-publisher.ts";
import { PAGE_KEYS_MAX } from "../../registrar/publisher/redis-audit.ts";
import { TOMBSTONE_KEY_GRACE_MS, TOMBSTONE_MS } from "../../registrar/publisher/snapshot-builder.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { until } from "../support/until.ts";
import { parts, type TestNamespace } from "./fixture.ts";
import { live, setStage } from "./stage.ts";

/** Short, so that a test need not wait; a page a round, for the few keys of these tests. */
const AUDIT_INTERVAL_MS = 60;

const stage = setStage();
const WEB = serviceKey("default", "web");

function start(differences: string[] = [], options = {}): TestNamespace {
  return stage.start(stage.store, {
    auditIntervalMs: AUDIT_INTERVAL_MS,
    onRedisDifference: (of) => differences.push(of),
    ...options,
  });
}

/** Every key has been looked at once more. */
async function audited(namespace: TestNamespace): Promise<void> {
  const before = namespace.publisher.status().audit.completedAtMs ?? 0;
  // The round under way may have passed a key before; the one after it has not.
  await until("a round is over", () => (namespace.publisher.status().audit.completedAtMs ?? 0) > before);
  const between = namespace.publisher.status().audit.completedAtMs ?? 0;
  await until("another one is", () => (namespace.publisher.status().audit.completedAtMs ?? 0) > between);
}

describe("an audit of Redis", () => {
  it.each<[string, string, string[]]>([
    ["a snapshot that was changed", "snapshot", ["SET", WEB, '{"schema":1,"kind":"service","instances":[]}']],
    ["a snapshot that was deleted", "snapshot", ["DEL", WEB]],
    ["a snapshot that was made to expire", "snapshot", ["EXPIRE", WEB, "3600"]],
    ["a snapshot of one byte less", "snapshot", ["SETRANGE", WEB, "0", " "]],
    ["a catalog that was changed", "catalog", ["SET", catalogKey("default"), "{}"]],
    ["a catalog that was deleted", "catalog", ["DEL", catalogKey("default")]],
    ["a tombstone that went early", "snapshot", ["DEL", serviceKey("default", "ended")]],
    ["a tombstone that would stay", "snapshot", ["PERSIST", serviceKey("default", "ended")]],
  ])("finds %s, counts it once, and writes it again", async (_what, of, command) => {
    const differences: string[] = [];
    const namespace = start(differences);
    namespace.put("web", "1");
    namespace.put("ended", "1");
    await live(namespace);
    namespace.remove("ended", "1");
    await live(namespace);
    const before = await stage.stored.head();
    await stage.redis.cli(...command);
    await until("it is found", () => differences.length);
    await audited(namespace);
    await live(namespace);
    expect(differences).toEqual([of]);
    expect(namespace.publisher.status().audit.differences).toBe(1);
    expect(await stage.stored.snapshot("web")).toMatchObject({ instances: [{ id: "1" }] });
    expect(await stage.redis.cli("TTL", WEB)).toBe("-1");
    expect(await stage.stored.snapshot("ended")).toMatchObject({ instances: [], tombstoneUntil: expect.any(Number) });
    expect(Number(await stage.redis.cli("TTL", serviceKey("default", "ended")))).toBeGreaterThan(100);
    const after = await stage.stored.head();
    expect(after).toMatchObject({ epoch: before?.epoch, services: 1, instances: 1 });
    expect([...((await stage.stored.catalog())?.services.keys() ?? [])]).toContain("web");
    // Readers that took what stood there in between are told to read again.
    const told = after?.ring.entries.some(([revision]) => revision > (before?.revision ?? Infinity));
    expect(told).toBe(of === "snapshot");
  });

  it("leaves no service out of the catalog that comes back while its lost tombstone is found", async () => {
    const found: string[] = [];
    let aheadMs = 0;
    const namespace = start([], {
      clock: { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs },
      onRedisDifference(of: string) {
        found.push(of);
        namespace.put("ended", "2");
      },
    });
    namespace.put("web", "1");
    namespace.put("ended", "1");
    await live(namespace);
    // A catalog is written with its end, and with what comes after that.
    aheadMs += CATALOG_INTERVAL_MS;
    namespace.remove("ended", "1");
    await live(namespace);
    aheadMs += CATALOG_INTERVAL_MS;
    await stage.redis.cli("DEL", serviceKey("default", "ended"));
    await until("it is found", () => found.length);
    await live(namespace);
    expect(await stage.stored.snapshot("ended")).toMatchObject({ instances: [{ id: "2" }] });
    expect([...((await stage.stored.catalog())?.services.keys() ?? [])]).toEqual(["ended", "web"]);
  });

  it("finds another type of key under a name, and writes over it", async () => {
    const differences: string[] = [];
    const namespace = start(differences);
    namespace.put("web", "1");
    await live(namespace);
    await stage.redis.cli("RPUSH", "{default}list", "no document");
    await stage.redis.cli("RENAME", "{default}list", WEB);
    await until("it is found", () => differences.length);
    await until("it is there again", () => stage.stored.snapshot("web"));
    expect(differences).toEqual(["snapshot"]);
  });

  it("takes a head that somebody changed for a difference, and claims the namespace anew", async () => {
    const differences: string[] = [];
    const namespace = start(differences);
    namespace.put("web", "1");
    await live(namespace);
    const { epoch } = namespace.publisher.status();
    await stage.redis.cli("SET", headKey("default"), "{}");
    await until("it is found", () => differences.includes("head"));
    await live(namespace);
    expect(differences).toEqual(["head"]);
    expect((await stage.stored.head())?.epoch).toBeGreaterThan(epoch);
  });

  it("counts nothing that it wrote itself, whatever is committed meanwhile", async () => {
    const differences: string[] = [];
    const namespace = start(differences);
    await live(namespace);
    for (let round = 0; round < 25; round++) {
      for (let index = 0; index < 20; index++) namespace.put(`s${(round + index) % 40}`, String(round % 3));
      if (round % 5 === 4) for (let index = 0; index < 40; index++) namespace.remove(`s${index}`, "1");
      await live(namespace);
    }
    await audited(namespace);
    expect(differences).toEqual([]);
    expect(namespace.publisher.status().audit.keys).toBe(41);
  });

  it("looks at a bounded page at a time, and over its interval at every key", async () => {
    const pages: (readonly string[])[] = [];
    const watched: SnapshotStore = {
      ...stage.store,
      evaluate(script, keys, args) {
        if (script === AUDIT_SCRIPT) pages.push(keys.slice(1));
        return stage.store.evaluate(script, keys, args);
      },
    };
    const namespace = stage.start(watched, { auditIntervalMs: 1000 });
    for (let index = 0; index < 450; index++) namespace.put(`s${index}`, "1");
    await live(namespace);
    await until("a round is over", () => namespace.publisher.status().audit.completedAtMs);
    expect(pages.map(({ length }) => length)).toEqual([PAGE_KEYS_MAX, PAGE_KEYS_MAX, 51]);
    expect(new Set(pages.flat()).size).toBe(451);
  });

  it("does not miss a tombstone whose time was over", async () => {
    let aheadMs = 0;
    const clock = { ...parts.clock, monotonic: () => parts.clock.monotonic() + aheadMs };
    const differences: string[] = [];
    const namespace = start(differences, { clock });
    namespace.put("web", "1");
    await live(namespace);
    namespace.remove("web", "1");
    await live(namespace);
    aheadMs = TOMBSTONE_MS + TOMBSTONE_KEY_GRACE_MS;
    await stage.redis.cli("DEL", WEB);
    await audited(namespace);
    expect(differences).toEqual([]);
    expect(namespace.publisher.status().audit.keys).toBe(1);
  });

  it("ends with a take-over, and takes nothing of the next leader's for a difference", async () => {
    const differences: string[] = [];
    let leads = true;
    const former = start(differences, { verify: () => Promise.resolve(leads) });
    former.put("web", "1");
    await live(former);
    leads = false;
    const next = stage.start(stage.store, { revision: 2 });
    next.put("web", "2");
    await live(next);
    const head = await stage.redis.cli("GET", headKey("default"));
    expect(await former.ended()).toBe("deposed");
    expect(differences).toEqual([]);
    expect(former.publisher.status().audit).toMatchObject({ keys: 0, differences: 0 });
    expect(await stage.redis.cli("GET", headKey("default"))).toBe(head);
  });

  it("holds up no commit when Redis refuses it", async () => {
    let asked = 0;
    const refusing: SnapshotStore = {
      ...stage.store,
      evaluate(script, keys, args) {
        if (script !== AUDIT_SCRIPT) return stage.store.evaluate(script, keys, args);
        asked++;
        return stage.store.evaluate("return redis.call('NO-SUCH-COMMAND')", keys, args);
      },
    };
    const namespace = stage.start(refusing, { auditIntervalMs: AUDIT_INTERVAL_MS });
    await until("it has been tried", () => asked);
    for (let index = 0; index < 5; index++) {
      namespace.put("web", String(index));
      await until("it is published", async () => (await stage.stored.snapshot("web"))?.instances.length === index + 1);
    }
    expect(asked).toBe(1);
  });
});
