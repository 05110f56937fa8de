import { afterAll, beforeAll, expect, it } from "vitest";
import { runGateway, type Gateway } from "../../gateway/run.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { runResolver, type ResolverConfig } from "../../src/node.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { connectWriter, createTestPublisher, type TestPublisher } from "./publish.ts";
import { instance } from "../support/instance.ts";

const READ_ONLY_TOKEN = "read-only-token-of-the-test";
const dependencies = { log: createLog("resolver", "silent"), clock: systemClock, random: systemRandom };

let redis: TestRedis;
let gateway: Gateway;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let publisher: TestPublisher;
let config: ResolverConfig;

beforeAll(async () => {
  redis = await startTestRedis();
  writer = await connectWriter(redis.url);
  gateway = await runGateway(
    {
      listen: { host: "127.0.0.1", port: 0 },
      redisUrl: redis.url,
      readOnlyRedisUrl: redis.readOnlyUrl,
      token: "read-write-token-of-the-test",
      readOnlyToken: READ_ONLY_TOKEN,
    },
    { ...dependencies, signal: new AbortController().signal },
  );
  publisher = createTestPublisher((values) => writer.write(values), { now: () => Date.now() });
  publisher.services.set("web", [instance("web-1", { metadata: { emoji: "🦊" } })]);
  await publisher.fill();
  config = {
    listen: { host: "127.0.0.1", port: 0 },
    redisRestUrl: gateway.url,
    redisRestToken: READ_ONLY_TOKEN,
    keys: [],
    open: true,
    namespaces: ["default"],
    freshMs: 100,
    swrMs: 200,
    budgetMs: 250,
    coldBudgetMs: 2000,
  };
});

afterAll(async () => {
  await gateway.close();
  await writer.close();
  await redis.close();
});

it("the resolver on Node answers through the gateway with a token that may only read, and follows changes", async () => {
  const resolver = await runResolver(config, dependencies);
  const look = async () => {
    const response = await fetch(`${resolver.url}/v1/services/web`);
    return (await response.json()) as { instances: { id: string; metadata: object }[] };
  };
  expect((await look()).instances[0]?.metadata).toEqual({ emoji: "🦊" });
  await publisher.put("web", [instance("web-2")]);
  await until("the change", async () => (await look()).instances[0]?.id === "web-2", { timeoutMs: 2000 });
  await resolver.close();
  await expect(fetch(resolver.url)).rejects.toThrow("fetch failed");
});

it.each([
  [{ keys: ["a"], open: false }, /FINGERPOST_KEYS/],
  [{ keys: [], open: false }, /FINGERPOST_KEYS/],
  [{ keys: [`a=${"0".repeat(64)}`], open: true }, /FINGERPOST_OPEN must not be true/],
  [{ swrMs: 50 }, /FINGERPOST_SWR_MS/],
  [{ namespaces: [] }, /namespace/],
])("the resolver on Node does not start with %j", async (changed, reason) => {
  await expect(runResolver({ ...config, ...changed }, dependencies)).rejects.toThrow(reason);
});
