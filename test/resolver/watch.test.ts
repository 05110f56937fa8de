import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { createClient } from "../../client/index.ts";
import { runGateway, type Gateway } from "../../gateway/run.ts";
import type { ServiceAnswer } from "../../contract/http.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { instance } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { readEvents, type EventReader } from "./event-stream.ts";
import { connectWriter, createTestPublisher, type TestPublisher } from "./publish.ts";
import { buildWorker, startWorker, type TestWorker } from "./workerd.ts";

const FRESH_MS = 100;
const STREAMS = 500;
/** Of which one caller, and all are one here, has three quarters. */
const WATCHERS_MAX = 666;
const TOKEN = "read-only-token-of-the-test";

let redis: TestRedis;
let gateway: Gateway;
let writer: Awaited<ReturnType<typeof connectWriter>>;
let worker: TestWorker;
let publisher: TestPublisher;
let changes = 0;

beforeAll(async () => {
  const [started, script] = await Promise.all([startTestRedis(), buildWorker()]);
  redis = started;
  writer = await connectWriter(redis.url);
  gateway = await runGateway(
    {
      listen: { host: "127.0.0.1", port: 0 },
      redisUrl: redis.url,
      readOnlyRedisUrl: redis.readOnlyUrl,
      token: "read-write-token-of-the-test",
      readOnlyToken: TOKEN,
    },
    {
      log: createLog("gateway", "silent"),
      clock: systemClock,
      random: systemRandom,
      signal: new AbortController().signal,
    },
  );
  worker = await startWorker({
    script,
    env: {
      UPSTASH_REDIS_REST_URL: gateway.url,
      UPSTASH_REDIS_REST_TOKEN: TOKEN,
      FINGERPOST_OPEN: "true",
      FINGERPOST_FRESH_MS: String(FRESH_MS),
      FINGERPOST_SWR_MS: String(2 * FRESH_MS),
      FINGERPOST_WATCHERS_MAX: String(WATCHERS_MAX),
    },
  });
  publisher = createTestPublisher((values) => writer.write(values), { now: () => Date.now() });
  publisher.services.set("web", [instance("web-0")]);
  publisher.services.set("api", [instance("api-0")]);
  await publisher.fill();
});

afterAll(async () => {
  await worker.close();
  await gateway.close();
  await writer.close();
  await redis.close();
});

let hangUp: AbortController;

beforeEach(async () => {
  hangUp = new AbortController();
  await change("web");
});

/** Publishes another instance of the service, and gives its id. */
async function change(service: string): Promise<string> {
  changes++;
  publisher.confirmedAt = Date.now();
  await publisher.put(service, [instance(`${service}-${changes}`)]);
  return `${service}-${changes}`;
}

function ask(path: string): Promise<Response> {
  return fetch(`${worker.url}/v1/services/${path}`, { signal: hangUp.signal });
}

async function watch(service: string): Promise<EventReader> {
  const response = await ask(`${service}/watch`);
  expect(response.status).toBe(200);
  return readEvents(response);
}

function latest({ events }: EventReader): string | undefined {
  const answers = events.filter(({ event }) => event === "service").map(({ data }) => data as ServiceAnswer);
  return answers.at(-1)?.instances[0]?.id;
}

it("500 streams all see a change, cost the readings of one, and give up their places when they hang up", async () => {
  const first = await watch("web");
  const others = await Promise.all(Array.from({ length: STREAMS - 1 }, () => watch("web")));
  const readers = [first, ...others];
  const refused = await ask("web/watch");
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(2);

  const [startedAt, before] = [performance.now(), await redis.commandCount("get", "mget")];
  const changed = await change("web");
  await until("every stream has the change", () => readers.every((reader) => latest(reader) === changed));
  await until("ten fresh intervals are over", () => performance.now() - startedAt > 10 * FRESH_MS);
  const read = (await redis.commandCount("get", "mget")) - before;
  // One head a fresh interval, and one snapshot of the change with the head it is read with.
  expect(read).toBeLessThanOrEqual(Math.ceil((performance.now() - startedAt) / FRESH_MS) + 2);
  expect(read).toBeGreaterThan(4);

  hangUp.abort();
  hangUp = new AbortController();
  const again = await until("a place is free", async () => {
    await change("web");
    const response = await ask("web/watch");
    return response.status === 200 ? readEvents(response) : undefined;
  });
  hangUp.abort();
  await until("it ended", () => again.ended);
});

it("a long poll is answered by a change of its service, and by none of another", async () => {
  const seen = await until("the last change is known", async () => {
    const answer = (await (await ask("web")).json()) as ServiceAnswer;
    return answer.revision === publisher.revision ? answer.revision : undefined;
  });
  const poll = ask(`web/watch?revision=${seen}&wait=20s`);
  const other = ask(`api/watch?revision=${publisher.revision - 1}&wait=20s`);
  let answered = false;
  void poll.then(() => (answered = true));
  await change("api");
  await other;
  expect(answered).toBe(false);
  const changed = await change("web");
  const answer = (await (await poll).json()) as ServiceAnswer;
  expect(answer.instances.map(({ id }) => id)).toEqual([changed]);
});

it("the client's watch follows a service", async () => {
  const client = createClient({ url: worker.url });
  let wanted: string | undefined;
  const met: string[] = [];
  for await (const state of client.watch("web")) {
    const id = state.type === "found" ? state.instances[0]?.id : undefined;
    if (id !== undefined && id === wanted) met.push(id);
    if (met.length === 2) break;
    if (id === wanted || wanted === undefined) wanted = await change("web");
  }
  expect(met).toEqual([`web-${changes - 1}`, `web-${changes}`]);
});

it("a stream says when Redis is gone and when it is back, and ends for neither", async () => {
  const reader = await watch("web");
  const status = () => reader.events.filter(({ event }) => event === "status").map(({ data }) => data);
  await redis.kill();
  await until("it may be out of date", () => status().length === 1);
  expect(status()).toEqual([{ stale: true, ageMs: expect.any(Number) as number }]);
  await redis.start();
  publisher.epoch++;
  publisher.services.set("web", [instance("web-back")]);
  await until("the publisher has filled Redis", async () => {
    publisher.confirmedAt = Date.now();
    await publisher.fill();
    return true;
  });
  await until("it is told", () => latest(reader) === "web-back" && status().length === 2);
  expect(status()[1]).toMatchObject({ stale: false });
  expect(reader.ended).toBe(false);
  hangUp.abort();
});
