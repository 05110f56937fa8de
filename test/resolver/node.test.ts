import { afterAll, beforeAll, expect, it } from "vitest";
import { runGateway, type Gateway } from "../../gateway/run.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog, createLogTo, type LogLine } from "../../node/log.ts";
import { runResolver, type ResolverConfig } from "../../src/node.ts";
import { publicTextOf, SIGNING_KEY } from "../support/signing.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { readEvents } from "./event-stream.ts";
import { rawGet } from "./sockets.ts";
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
    env: {
      UPSTASH_REDIS_REST_URL: gateway.url,
      UPSTASH_REDIS_REST_TOKEN: READ_ONLY_TOKEN,
      FINGERPOST_OPEN: "true",
      FINGERPOST_FRESH_MS: "100",
      FINGERPOST_SWR_MS: "200",
    },
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

it("on Node a place is free as soon as its watcher hangs up", async () => {
  const env = { ...config.env, FINGERPOST_WATCHERS_MAX: "1" };
  const resolver = await runResolver({ ...config, env }, dependencies);
  const { port } = new URL(resolver.url);
  const leaving = rawGet(Number(port), "/v1/services/web/watch");
  leaving.answer.catch(() => undefined);
  const isFree = async () => {
    const { status, body } = await fetch(`${resolver.url}/v1/services/web/watch`);
    await body?.cancel();
    return status === 200;
  };
  await until("it is taken", async () => !(await isFree()));
  leaving.socket.destroy();
  await until("it is free", isFree);
  await resolver.close();
});

it("on Node streams end by themselves, with a time to come back, when the resolver closes", async () => {
  const resolver = await runResolver(config, dependencies);
  const reader = readEvents(await fetch(`${resolver.url}/v1/services/web/watch`));
  await until("it has begun", () => reader.events.length > 1);
  await resolver.close();
  await until("the stream has ended", () => reader.ended);
  expect(reader.events.map(({ event }) => event)).toEqual(["retry", "service", "retry"]);
});

it.each([
  // A name of this machine that is none of those that are known to be: what others reach takes no test.
  ["127.1", { FINGERPOST_OPEN: "true" }, 0, [expect.stringContaining("nothing is verified"), expect.anything()]],
  ["127.0.0.1", { FINGERPOST_PUBLIC_KEYS: publicTextOf(SIGNING_KEY) }, 1, ["the resolver listens"]],
])("on Node it is logged, listening on %s, whether anything is verified, and who is answered", async (...given) => {
  const [host, env, publicKeys, said] = given;
  const lines: LogLine[] = [];
  const log = createLogTo("resolver", (line) => lines.push(line));
  const resolver = await runResolver(
    { listen: { host, port: 0 }, env: { ...config.env, ...env } },
    { ...dependencies, log },
  );
  await resolver.close();
  expect(lines[0]?.fields).toMatchObject({ publicKeys });
  expect(lines.map(({ message }) => message)).toEqual(said);
  expect(lines.slice(1).map(({ level, message }) => `${level} ${message}`)).toEqual(
    said.slice(1).map(() => expect.stringMatching(/^warn FINGERPOST_OPEN/)),
  );
});

it.each([
  [{ FINGERPOST_KEYS: "a" }, ["FINGERPOST_OPEN"]],
  [{ FINGERPOST_OPEN: "false" }, ["FINGERPOST_KEYS"]],
  [{ FINGERPOST_SWR_MS: "50", FINGERPOST_NAMESPACES: "," }, ["FINGERPOST_NAMESPACES", "FINGERPOST_SWR_MS"]],
])("the resolver on Node does not start with %j", async (changed, variables) => {
  await expect(runResolver({ ...config, env: { ...config.env, ...changed } }, dependencies)).rejects.toMatchObject({
    violations: variables.map((parameter) => ({ parameter })),
  });
});
