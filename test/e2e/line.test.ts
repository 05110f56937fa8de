import { createClient as createRedisClient } from "@redis/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeHead } from "../../contract/head.ts";
import { HEADER_AGE_MS, HEADER_SOURCE, HEADER_STALE, type ServiceAnswer } from "../../contract/http.ts";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { startTestDev, type TestDev } from "../support/dev.ts";
import { until } from "../support/until.ts";

// What the README promises, on every real part at once: the processes of `fingerpost dev`, with the settings a user
// has who changes none. The tests run in order on one line: each leaves it as healthy as it found it.

/** From a change's acknowledgement to its sight at the edge, as promised. */
const VISIBLE_WITHIN_MS = 2000;
/** The registrar's reconnection and the publisher's next commit, after a part has returned. */
const RECOVERY_WITHIN_MS = 30_000;

let dev: TestDev;
beforeAll(async () => {
  dev = await startTestDev();
}, 120_000);
afterAll(() => dev.close());

async function register(service: string, id: string, ttlSeconds = 60): Promise<Response> {
  return await dev.registrar(`/v1/services/${service}/instances/${id}`, {
    method: "PUT",
    body: { address: "127.0.0.1", port: 9000, ttlSeconds },
  });
}

async function deregister(service: string, id: string): Promise<Response> {
  return await dev.registrar(`/v1/services/${service}/instances/${id}`, { method: "DELETE" });
}

interface Lookup {
  readonly status: number;
  readonly ids: readonly string[];
  readonly source: string | null;
  readonly ageMs: number;
  readonly stale: boolean;
  readonly tookMs: number;
}

async function lookup(service: string): Promise<Lookup> {
  const startMs = performance.now();
  const response = await dev.resolver(`/v1/services/${service}`);
  const answer = (await response.json()) as Partial<ServiceAnswer>;
  return {
    status: response.status,
    ids: (answer.instances ?? []).map(({ id }) => id),
    source: response.headers.get(HEADER_SOURCE),
    ageMs: Number(response.headers.get(HEADER_AGE_MS) ?? Number.NaN),
    stale: response.headers.get(HEADER_STALE) === "true",
    tookMs: performance.now() - startMs,
  };
}

function untilSeen(service: string, ids: readonly string[], timeoutMs: number): Promise<Lookup> {
  return until(
    `${service} is ${ids.join(", ") || "empty"} at the edge`,
    async () => {
      const seen = await lookup(service);
      return seen.status < 300 && seen.ids.join() === ids.join() && seen;
    },
    { timeoutMs },
  );
}

/** Looks the service up all the time until it is stopped, and then tells what was wrong with any of the answers. */
function readThroughout(service: string, isRight: (ids: readonly string[]) => boolean) {
  const seen: Lookup[] = [];
  const stopping = new AbortController();
  const reading = (async () => {
    while (!stopping.signal.aborted) seen.push(await lookup(service));
  })();
  return {
    seen,
    async stop(): Promise<void> {
      stopping.abort();
      await reading;
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.filter(({ status }) => status !== 200)).toEqual([]);
      expect(seen.filter(({ ids }) => !isRight(ids))).toEqual([]);
    },
  };
}

describe("the whole line", () => {
  it("shows a registered instance at the edge within 2 s, and a deregistered one no more within 2 s", async () => {
    expect((await register("first", "a")).status).toBe(201);
    await untilSeen("first", ["a"], VISIBLE_WITHIN_MS);

    expect((await register("first", "b")).status).toBe(201);
    await untilSeen("first", ["a", "b"], VISIBLE_WITHIN_MS);

    expect((await deregister("first", "a")).status).toBe(204);
    await untilSeen("first", ["b"], VISIBLE_WITHIN_MS);

    expect((await deregister("first", "b")).status).toBe(204);
    await untilSeen("first", [], VISIBLE_WITHIN_MS);
  });

  it("ends an instance whose heartbeats stop", async () => {
    await register("silent", "a", 3);
    await untilSeen("silent", ["a"], VISIBLE_WITHIN_MS);
    await untilSeen("silent", [], RECOVERY_WITHIN_MS);
  });

  it("answers 10,000 lookups without one request to etcd", async () => {
    await register("isolated", "a");
    await untilSeen("isolated", ["a"], VISIBLE_WITHIN_MS);
    // The registrar's own heartbeat would move etcd's counters; paused, it leaves only what lookups cause: nothing.
    process.kill(dev.pids.registrar, "SIGSTOP");
    try {
      const before = await dev.etcdRequests();
      let left = 10_000;
      const failed: number[] = [];
      const worker = async () => {
        while (left-- > 0) {
          const response = await dev.resolver("/v1/services/isolated");
          await response.body?.cancel();
          if (response.status !== 200) failed.push(response.status);
        }
      };
      await Promise.all(Array.from({ length: 32 }, worker));
      expect(failed).toEqual([]);
      expect(await dev.etcdRequests()).toBe(before);
    } finally {
      process.kill(dev.pids.registrar, "SIGCONT");
    }
    await until("the registrar is ready again", async () => (await dev.registrar("/readyz")).ok);
  }, 120_000);

  it("goes on without etcd, says how old its answers are, and recovers with nobody's help", async () => {
    await register("etcdless", "a", 120);
    await untilSeen("etcdless", ["a"], VISIBLE_WITHIN_MS);

    const reader = readThroughout("etcdless", (ids) => ids.includes("a"));
    process.kill(dev.pids.etcd, "SIGKILL");
    await until("the answers say that they are old", () => reader.seen.at(-1)?.stale, {
      timeoutMs: RECOVERY_WITHIN_MS,
    });
    expect(reader.seen.at(-1)?.ageMs).toBeGreaterThan(5000);

    await dev.untilRestarted("etcd");
    await until("etcd takes registrations again", async () => (await register("etcdless", "b", 120)).ok, {
      timeoutMs: RECOVERY_WITHIN_MS,
    });
    await untilSeen("etcdless", ["a", "b"], RECOVERY_WITHIN_MS);
    await until("the age is small again", () => !reader.seen.at(-1)?.stale);
    // None failed and none was empty: not in the outage, and not when etcd came back.
    await reader.stop();
  });
});

describe("without Redis", () => {
  beforeAll(async () => {
    await register("redisless", "a", 300);
    await untilSeen("redisless", ["a"], VISIBLE_WITHIN_MS);
  });

  it("goes on as last-known-good when Redis hangs, within the budget", async () => {
    const reader = readThroughout("redisless", (ids) => ids.join() === "a");
    process.kill(dev.pids.redis, "SIGSTOP");
    try {
      await until("answers are last-known-good", () => {
        const last = reader.seen.at(-1);
        return last?.source === "last-known-good" && last.stale;
      });
    } finally {
      process.kill(dev.pids.redis, "SIGCONT");
    }
    await until("answers are fresh again", () => !reader.seen.at(-1)?.stale);
    await reader.stop();
    // Budget 250 ms; the rest is for a machine that others use too.
    expect(Math.max(...reader.seen.map(({ tookMs }) => tookMs))).toBeLessThan(2000);
  });

  it("is whole again within seconds of FLUSHALL, and never empty meanwhile", async () => {
    const reader = readThroughout("redisless", (ids) => ids.join() === "a");
    const redis = createRedisClient({ url: dev.redis ?? "" });
    await redis.connect();
    try {
      const epochOf = async () => {
        const text = await redis.get(headKey("default"));
        return text === null ? 0 : decodeHead(text, "default").epoch;
      };
      const before = await epochOf();
      await redis.sendCommand(["FLUSHALL"]);
      await until("a new epoch is there", async () => (await epochOf()) > before);
      await until("the snapshot is there", async () => (await redis.exists(serviceKey("default", "redisless"))) === 1);
    } finally {
      await redis.close();
    }
    await until("answers are fresh again", () => !reader.seen.at(-1)?.stale);
    await reader.stop();
  });

  it("goes on as last-known-good when Redis is killed, and fills it when it returns empty", async () => {
    const reader = readThroughout("redisless", (ids) => ids.includes("a"));
    process.kill(dev.pids.redis, "SIGKILL");
    await until("answers are last-known-good", () => reader.seen.at(-1)?.source === "last-known-good");

    await dev.untilRestarted("redis");
    await register("redisless", "b", 300);
    await untilSeen("redisless", ["a", "b"], RECOVERY_WITHIN_MS);
    await reader.stop();
  });
});
