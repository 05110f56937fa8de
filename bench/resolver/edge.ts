import { createHash } from "node:crypto";
import { startHttpPart } from "../../dev/http-part.ts";
import { findFreePort } from "../../dev/ports.ts";
import { runGateway } from "../../gateway/run.ts";
import { messageOf } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { startProxy, type Proxy } from "../../test/support/proxy.ts";
import { connectWriter, createTestPublisher, type TestPublisher } from "../../test/resolver/publish.ts";
import type { Instance } from "../../contract/snapshot.ts";
import { startBenchRedis, type BenchRedis } from "../support/servers.ts";
import type { Stage } from "../support/stage.ts";
import { registrationValue, serviceName } from "../support/workload.ts";

/** How often the publisher's heartbeat is written, as the registrar does. */
const HEARTBEAT_MS = 2000;
const GATEWAY_TOKEN = "the-token-that-may-write";
const READ_ONLY_TOKEN = "the-token-that-may-read";
const CALLER_KEY = "the-key-of-a-function";

/** What a caller of the resolver sends: authentication is on in every measurement. */
export const CALLER_HEADERS = { authorization: `Bearer ${CALLER_KEY}` };

/** A Redis that is filled, with a gateway before it: what a Worker reads from. */
export interface EdgeStore {
  readonly redis: BenchRedis;
  readonly publisher: TestPublisher;
  readonly gatewayPid: number;
  /** Of the gateway itself. */
  readonly gatewayUrl: string;
  /** Between Workers and the gateway: one hop more, in the process of the benchmark. */
  readonly line: Proxy;
  /** The Worker's environment: it asks over the line. */
  readonly env: Readonly<Record<string, string>>;
  /** GETs and MGETs that Redis has run so far, by its own count. */
  reads(): Promise<number>;
}

export interface EdgeOptions {
  readonly services: number;
  readonly instancesPerService: number;
  /** Whether the gateway is a process of its own: where much goes through it. */
  readonly gatewayApart?: boolean;
}

export async function startEdgeStore(stage: Stage, options: EdgeOptions): Promise<EdgeStore> {
  const { services, instancesPerService, gatewayApart = false } = options;
  const redis = await startBenchRedis(stage);
  const writer = stage.own(await connectWriter(redis.url));
  const publisher = createTestPublisher(writer.write, { now: Date.now });
  for (let index = 0; index < services; index++) {
    publisher.services.set(serviceName(index, services), instancesOf(index, services, instancesPerService));
  }
  await publisher.fill();
  keepConfirmed(stage, publisher);
  const line = await startLine(stage, redis, gatewayApart);
  return { redis, publisher, ...line, reads: () => redis.commandCount("get", "mget") };
}

/** A gateway before a Redis, and a line to it that can be broken. */
export async function startLine(stage: Stage, redis: BenchRedis, gatewayApart: boolean) {
  const gateway = await (gatewayApart ? startGatewayProcess(stage, redis) : startGatewayHere(stage, redis));
  const line = stage.own(await startProxy(gateway.port));
  const env = {
    UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${line.port}`,
    UPSTASH_REDIS_REST_TOKEN: READ_ONLY_TOKEN,
    FINGERPOST_KEYS: `function=${createHash("sha256").update(CALLER_KEY).digest("hex")}`,
  };
  return { gatewayPid: gateway.pid, gatewayUrl: `http://127.0.0.1:${gateway.port}`, line, env };
}

interface Gateway {
  readonly port: number;
  readonly pid: number;
}

async function startGatewayHere(stage: Stage, redis: BenchRedis): Promise<Gateway> {
  const { port } = stage.own(
    await runGateway(
      {
        listen: { host: "127.0.0.1", port: 0 },
        token: GATEWAY_TOKEN,
        readOnlyToken: READ_ONLY_TOKEN,
        redisUrl: redis.url,
        readOnlyRedisUrl: redis.readOnlyUrl,
      },
      { log: createLog("gateway", "silent"), clock: stage.clock, random: systemRandom, signal: stage.signal },
    ),
  );
  return { port, pid: process.pid };
}

async function startGatewayProcess(stage: Stage, redis: BenchRedis): Promise<Gateway> {
  const port = await findFreePort(systemRandom);
  const gateway = await startHttpPart({
    name: "gateway",
    module: "../cli/main.ts",
    args: ["gateway"],
    env: {
      FINGERPOST_TOKEN: GATEWAY_TOKEN,
      FINGERPOST_READ_ONLY_TOKEN: READ_ONLY_TOKEN,
      FINGERPOST_REDIS_URL: redis.url,
      FINGERPOST_REDIS_READ_ONLY_URL: redis.readOnlyUrl,
      FINGERPOST_LISTEN: `127.0.0.1:${port}`,
      FINGERPOST_LOG_LEVEL: "warn",
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
    },
    runDir: stage.dir,
    url: `http://127.0.0.1:${port}`,
    clock: stage.clock,
    signal: stage.signal,
    onSlow: (reason) => stage.say(`the gateway is not ready yet: ${reason}`),
  });
  stage.own({ close: () => gateway.end() });
  return { port, pid: gateway.pid };
}

/** The instances of one service, as the registrar publishes them. */
export function instancesOf(service: number, services: number, count: number, change = 0): readonly Instance[] {
  return Array.from({ length: count }, (_, index) => {
    return JSON.parse(registrationValue(service + index * services, change)) as Instance;
  });
}

/** Heartbeats until the stage ends: without them every answer is marked stale. */
function keepConfirmed(stage: Stage, publisher: TestPublisher): void {
  let writing = Promise.resolve();
  let cancel = stage.clock.after(HEARTBEAT_MS, beat);
  function beat(): void {
    publisher.confirmedAt = Date.now();
    writing = publisher.writeHead().catch((error: unknown) => stage.say(`the heartbeat failed: ${messageOf(error)}`));
    cancel = stage.clock.after(HEARTBEAT_MS, beat);
  }
  stage.own({
    async close() {
      cancel();
      await writing;
    },
  });
}
