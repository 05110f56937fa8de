import { afterAll, beforeAll, expect, test } from "vitest";
import { createClient } from "../../client/index.ts";
import type { Gateway } from "../../gateway/run.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { sha256 } from "../../kernel/secret.ts";
import { createLog } from "../../node/log.ts";
import { runResolver, type RunningResolver } from "../../src/node.ts";
import { READ_ONLY_TOKEN, startGateway } from "../gateway/gateway.ts";
import { connectWriter, createTestPublisher, type TestPublisher } from "../resolver/publish.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { instance } from "../support/instance.ts";

const TOKEN = "function-token";

let redis: TestRedis;
let gateway: Gateway;
let resolver: RunningResolver;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let publisher: TestPublisher;

/** The whole way a lookup takes: client, resolver, gateway with its read-only token, Redis. */
beforeAll(async () => {
  redis = await startTestRedis();
  writer = await connectWriter(redis.url);
  publisher = createTestPublisher((values) => writer.write(values), { now: () => systemClock.now() });
  publisher.services.set("web", [
    instance("web-1", { version: "1.4.0", region: "eu", tags: ["blue"] }),
    instance("web-2", { version: "2.0.0", region: "us", metadata: { team: "ö" } }),
    instance("web-3", { version: "2.1.0", region: "eu", status: "down", cause: "heartbeat" }),
  ]);
  await publisher.fill();
  gateway = await startGateway({ redisUrl: redis.url, readOnlyRedisUrl: redis.readOnlyUrl });
  resolver = await runResolver(
    {
      listen: { host: "127.0.0.1", port: 0 },
      env: {
        UPSTASH_REDIS_REST_URL: gateway.url,
        UPSTASH_REDIS_REST_TOKEN: READ_ONLY_TOKEN,
        FINGERPOST_KEYS: `function=${Buffer.from(await sha256(TOKEN)).toString("hex")}`,
        FINGERPOST_FRESH_MS: "100",
        FINGERPOST_SWR_MS: "200",
      },
    },
    { log: createLog("resolver", "silent"), clock: systemClock, random: systemRandom },
  );
});
afterAll(async () => {
  await resolver?.close();
  await gateway?.close();
  await writer?.close();
  await redis?.close();
});

const ids = ({ instances }: { readonly instances: readonly { readonly id: string }[] }) =>
  instances.map(({ id }) => id);

test("the client's filters mean what the resolver means", async () => {
  const client = createClient({ url: resolver.url, token: TOKEN });
  expect(ids(await client.resolve("web"))).toEqual(["web-1", "web-2"]);
  expect(ids(await client.resolve("web", { health: "all" }))).toEqual(["web-1", "web-2", "web-3"]);
  expect(ids(await client.resolve("web", { version: "^1 || >2.0.0" }))).toEqual(["web-1"]);
  expect(ids(await client.resolve("web", { region: "eu", tags: ["blue"] }))).toEqual(["web-1"]);
  expect(ids(await client.resolve("web", { metadata: { team: "ö" }, zone: undefined as never }))).toEqual(["web-2"]);
  expect(ids(await client.resolve("web", { limit: 1 }))).toEqual(["web-1"]);
});

test("the client's choice by key is the resolver's", async () => {
  const client = createClient({ url: resolver.url, token: TOKEN });
  for (const key of ["a", "user-17", "Straße 🏠", ""]) {
    const response = await fetch(`${resolver.url}/v1/services/web/pick?key=${encodeURIComponent(key)}`, {
      headers: { Authorization: `Bearer ${TOKEN}` },
    });
    const { instance: chosen } = (await response.json()) as { instance: { id: string } };
    expect((await client.pick("web", { key })).instance.id).toBe(chosen.id);
  }
});

test("unknown services, tokens and filters are the client's errors", async () => {
  const client = createClient({ url: resolver.url, token: TOKEN });
  await expect(client.resolve("none")).rejects.toMatchObject({ code: "not_found" });
  await expect(client.resolve("web", { version: "what?" })).rejects.toMatchObject({ code: "invalid_argument" });
  const stranger = createClient({ url: resolver.url, token: "wrong" });
  await expect(stranger.resolve("web")).rejects.toMatchObject({ code: "unauthenticated" });
});

test("a change is seen, and with the resolver gone what was known is still told, as such", async () => {
  const client = createClient({ url: resolver.url, token: TOKEN, freshMs: 0, budgetMs: 200 });
  const before = await client.resolve("web");
  expect(await client.resolve("web")).toMatchObject({ revision: before.revision, stale: false });
  await publisher.put("web", [instance("web-9")]);
  const changed = await until("the change is seen", async () => {
    const answer = await client.resolve("web");
    return answer.revision > before.revision && answer;
  });
  expect(ids(changed)).toEqual(["web-9"]);
  await resolver.close();
  expect(await client.resolve("web")).toMatchObject({
    revision: changed.revision,
    stale: true,
    source: "last-known-good",
    instances: [{ id: "web-9" }],
  });
});
