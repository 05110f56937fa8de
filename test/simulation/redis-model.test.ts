import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readFingerprints, fingerprintOf } from "../../registrar/publisher/audit-script.ts";
import { commit, headGuard } from "../../registrar/publisher/commit-script.ts";
import { readText, readTexts } from "../../registrar/publisher/read-script.ts";
import { createDirectStore } from "../../registrar/publisher/redis-direct.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { parts } from "../publisher/fixture.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { createLink } from "./link.ts";
import { createProcess } from "./process.ts";
import { createSnapshotStore } from "./redis-client.ts";
import { createRedisModel } from "./redis-model.ts";
import { createTimeline } from "./timeline.ts";

let redis: TestRedis;
let real: SnapshotStore;

beforeAll(async () => {
  redis = await startTestRedis();
  real = createDirectStore({ url: redis.url, ...parts });
});
afterAll(async () => {
  await real.close();
  await redis.close();
});

/** What a test needs of either: the store, time that passes, and to delete a key as somebody else. */
interface Side {
  readonly store: SnapshotStore;
  run<T>(work: Promise<T>): Promise<T>;
  expire(key: string): Promise<void>;
  delete(key: string): Promise<void>;
}

function modelSide(): Side {
  const timeline = createTimeline();
  const process = createProcess(timeline, 1, "test");
  const model = createRedisModel({ timeline, now: () => process.clock.now(), onWritten: () => undefined });
  const store = createSnapshotStore(model, createLink({ timeline, process, random: process.random }), "test");
  return {
    store,
    async run(work) {
      await timeline.advance(timeline.nowMs() + 100);
      return work;
    },
    expire: () => timeline.advance(timeline.nowMs() + 1000),
    delete: async (key) => model.delete(key),
  };
}

function realSide(): Side {
  return {
    store: real,
    run: (work) => work,
    expire: async (key) =>
      void (await until("the key has expired", async () => (await redis.cli("EXISTS", key)) === "0")),
    delete: async (key) => void (await redis.cli("DEL", key)),
  };
}

/** What the publisher's scripts mean in a simulated world is what they do in Redis. */
describe.each(["real", "model"] as const)("the %s Redis", (kind) => {
  let side: Side;

  beforeEach(async () => {
    await redis.cli("FLUSHALL");
    side = kind === "real" ? realSide() : modelSide();
  });

  const write = (head: string | undefined, guard: string | undefined, writes: Parameters<typeof commit>[1]["writes"]) =>
    side.run(
      commit(side.store, { headKey: "head", guard: headGuard(guard), writes, ...(head === undefined ? {} : { head }) }),
    );
  const text = async (key: string) => (await side.run(readText(side.store, key))).text;

  it("commits over the head that is named, and over no other, and then writes nothing", async () => {
    expect(await write("h1", undefined, [{ key: "k", value: "1" }])).toBe("committed");
    expect(await write("h2", "h0", [{ key: "k", value: "late" }])).toBe("refused");
    expect(await write("h2", undefined, [{ key: "k", value: "late" }])).toBe("refused");
    expect(await write("h2", "h1", [{ key: "k", value: "2" }])).toBe("committed");
    expect([await text("head"), await text("k")]).toEqual(["h2", "2"]);
  });

  it("knows a commit that was made before, and does not make it again", async () => {
    await write("h1", undefined, []);
    await write("h2", "h1", [{ key: "k", value: "2" }]);
    await side.delete("k");
    expect(await write("h2", "h1", [{ key: "k", value: "2" }])).toBe("repeated");
    expect(await text("k")).toBeUndefined();
  });

  it("writes under a head without changing it, as often as it is asked", async () => {
    await write("h1", undefined, []);
    for (const value of ["1", "2"]) expect(await write(undefined, "h1", [{ key: "k", value }])).toBe("committed");
    expect([await text("head"), await text("k")]).toEqual(["h1", "2"]);
    expect(await write(undefined, "h0", [{ key: "k", value: "late" }])).toBe("refused");
  });

  it("has nothing of a key whose time is over, and forgets that time with the next write", async () => {
    await write("h1", undefined, [
      { key: "short", value: "1", expiresInMs: 50 },
      { key: "kept", value: "1", expiresInMs: 50 },
    ]);
    await write("h2", "h1", [{ key: "kept", value: "2" }]);
    await side.expire("short");
    expect([await text("short"), await text("kept")]).toEqual([undefined, "2"]);
  });

  it("gives as many texts as fit, the first in any case, and an empty one where there is none", async () => {
    await write("h1", undefined, [
      { key: "a", value: "é".repeat(10) },
      { key: "c", value: "ccc" },
    ]);
    const read = (bytesMax: number) => side.run(readTexts(side.store, ["a", "b", "c"], bytesMax));
    expect(await read(5)).toEqual(["é".repeat(10), ""].slice(0, 1));
    expect(await read(20)).toEqual(["é".repeat(10), ""]);
    expect(await read(23)).toEqual(["é".repeat(10), "", "ccc"]);
  });

  it("tells what keys hold by fingerprints, under the head that is named", async () => {
    const writes = [
      { key: "a", value: "1" },
      { key: "b", value: "2", expiresInMs: 60_000 },
    ];
    await write("h1", undefined, writes);
    const find = (guard: string) => side.run(readFingerprints(side.store, "head", headGuard(guard), ["a", "b", "c"]));
    expect(await find("h1")).toEqual([...writes.map(fingerprintOf), ""]);
    expect(await find("h0")).toBe("moved");
  });
});
