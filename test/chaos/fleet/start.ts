import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { newPassword, sha256Hex } from "../../../dev/password.ts";
import { createPorts } from "../../../dev/ports.ts";
import { redisUrl } from "../../../dev/redis.ts";
import { systemClock } from "../../../kernel/clock.ts";
import { systemRandom } from "../../../kernel/random.ts";
import { generateSigningKey, parseSigningKey, publicKeyText } from "../../../registrar/signing/key.ts";
import { FRESHNESS_DEFAULT } from "../../../src/options.ts";
import type { RunSettings } from "../history/event.ts";
import { until } from "../../support/until.ts";
import { makeLine, type Context } from "./context.ts";
import { startCluster } from "./etcd.ts";
import type { EtcdCluster, Fleet, FleetOptions, FleetProcess, Front } from "./fleet.ts";
import { clockImports, setNodeClock } from "./node-clock.ts";
import { makeNodeProcess, portOf, whyNotAsked } from "./node-process.ts";
import { startRedisPair, type StartedPair } from "./redis.ts";
import { startUpstashFront } from "./upstash-front.ts";
import { makeWorker, makeWorkerScripts, setWorkerClock, type WorkerScripts } from "./worker.ts";

const LEASE_TTL_SECONDS = 5;
const PROBE_SECONDS = 2;
/** What an election's session is given by registrar/etcd/election.ts. */
const SESSION_TTL_SECONDS = 5;
const PUBLISHERS = 2;
const AGENTS = { full: 3, short: 2 };
const READY_WITHIN_MS = 60_000;

/** Starts every process and waits until each is ready. Rejects with the first failure, once nothing is left of it. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { dir, keep = false } = options;
  if (existsSync(join(dir, "etcd-0"))) throw new Error(`${dir} holds another fleet's data`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const context: Context = {
    options,
    dir,
    clock: systemClock,
    ports: createPorts(systemRandom),
    processes: [],
    lines: [],
    say: options.say ?? (() => undefined),
  };
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    await Promise.all(context.processes.map((process) => process.kill()));
    await Promise.all([...context.lines.map(({ proxy }) => proxy.close()), ...closers.map((end) => end())]);
    context.ports.release();
    if (!keep) rmSync(dir, { recursive: true, force: true });
  };
  try {
    const cluster = startCluster(context, (end) => closers.push(end));
    const pair = startRedisPair(context);
    const bundling = makeWorkerScripts(context);
    await settled([cluster, pair, bundling]);
    const stores = { etcd: await cluster, redis: await pair, scripts: await bundling };
    return await startOurs(context, stores, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

interface Stores {
  readonly etcd: EtcdCluster;
  readonly redis: StartedPair;
  readonly scripts: WorkerScripts;
}

async function startOurs(
  context: Context,
  { etcd, redis, scripts }: Stores,
  closers: (() => Promise<void>)[],
  close: () => Promise<void>,
): Promise<Fleet> {
  const { options, dir, processes, lines } = context;
  const settings = settingsOf(options);
  const { readWrite, readOnly } = redis.users;
  const token = newPassword();
  const readOnlyToken = newPassword();
  const lookupToken = newPassword();
  const signingKey = generateSigningKey();
  const publicKeys = { FINGERPOST_PUBLIC_KEYS: publicKeyText(parseSigningKey(signingKey)) };

  const toRedis = (await redis.lineToMaster("gateway>redis")).proxy.port;
  const gateway = await makeNodeProcess(context, {
    name: "gateway",
    kind: "gateway",
    args: ["gateway"],
    env: {
      FINGERPOST_TOKEN: token,
      FINGERPOST_READ_ONLY_TOKEN: readOnlyToken,
      FINGERPOST_REDIS_URL: redisUrl(toRedis, readWrite),
      FINGERPOST_REDIS_READ_ONLY_URL: redisUrl(toRedis, readOnly),
    },
  });
  const fronts: Front[] = [];
  /** The address of the gateway for one that reaches it over a line, as what Upstash has before its Redis. */
  const lineToGateway = async (from: string) => {
    const name = `${from}>gateway`;
    const front = await startUpstashFront(gateway.url);
    closers.push(() => front.close());
    fronts.push({ name, front });
    const { proxy } = await makeLine(context, name, front.port);
    return `http://127.0.0.1:${proxy.port}`;
  };

  const registrarEnv = async (name: string) => {
    const toMembers = [];
    for (const member of etcd.members)
      toMembers.push(await makeLine(context, `${name}>${member.name}`, portOf(member)));
    return {
      FINGERPOST_ETCD_ENDPOINTS: toMembers.map(({ proxy }) => `http://127.0.0.1:${proxy.port}`).join(),
      FINGERPOST_ETCD_USERNAME: etcd.users[0]?.username,
      FINGERPOST_ETCD_PASSWORD_FILE: etcd.passwordFile,
      FINGERPOST_LEASE_TTL_SECONDS: String(settings.leaseTtlSeconds),
    };
  };
  const publishers: FleetProcess[] = [];
  for (let index = 0; index < PUBLISHERS; index++) {
    const name = `publisher-${index}`;
    // The one has Redis itself, and the other what functions have.
    const store =
      index === 0
        ? { FINGERPOST_REDIS_URL: redisUrl((await redis.lineToMaster(`${name}>redis`)).proxy.port, readWrite) }
        : { UPSTASH_REDIS_REST_URL: await lineToGateway(name), UPSTASH_REDIS_REST_TOKEN: token };
    const env = {
      ...(await registrarEnv(name)),
      ...store,
      ...publicKeys,
      FINGERPOST_SIGNING_KEY: signingKey,
      FINGERPOST_GUARD_PROBE_SECONDS: String(settings.probeSeconds),
    };
    const args = ["registrar", "--role", "publisher"];
    publishers.push(await makeNodeProcess(context, { name, kind: "publisher", args, env }));
  }

  const agents: FleetProcess[] = [];
  const stateDirOf = (agent: string) => join(dir, `${agent}-state`);
  for (let index = 0; index < settings.agents; index++) {
    const name = `agent-${index}`;
    mkdirSync(stateDirOf(name), { mode: 0o700 });
    const env = { ...(await registrarEnv(name)), FINGERPOST_STATE_DIR: stateDirOf(name) };
    const args = ["registrar", "--role", "agent"];
    agents.push(await makeNodeProcess(context, { name, kind: "agent", args, env, logBy: "pipe" }));
  }

  const resolverEnv = async (name: string) => ({
    UPSTASH_REDIS_REST_URL: await lineToGateway(name),
    UPSTASH_REDIS_REST_TOKEN: readOnlyToken,
    FINGERPOST_KEYS: `chaos=${sha256Hex(lookupToken)}`,
    ...publicKeys,
  });
  const worker = await makeWorker(context, scripts, await resolverEnv("worker"));
  const node = await makeNodeProcess(context, {
    name: "node",
    kind: "resolver",
    args: ["resolver"],
    env: await resolverEnv("node"),
    imports: (life) => clockImports("node", life),
  });

  const registrars = [...publishers, ...agents];
  await settled([gateway, ...registrars, worker, node].map((process) => process.start()));
  await until(
    "every registrar is ready",
    async () => (await Promise.all(registrars.map(({ url }) => whyNotAsked(`${url}/readyz`)))).every((why) => !why),
    { timeoutMs: READY_WITHIN_MS, signal: options.signal },
  );
  return {
    settings,
    etcd,
    redis,
    gateway,
    publishers,
    agents,
    resolvers: [worker, node],
    processes,
    lines,
    fronts,
    lookupToken,
    setClockOffset(resolver, offsetMs) {
      if (resolver === worker.name) return setWorkerClock(worker.url, offsetMs);
      if (resolver === node.name) return setNodeClock(node.name, node.life(), offsetMs);
      throw new Error(`${resolver} is no resolver`);
    },
    stateDirOf,
    close,
  };
}

function settingsOf(options: FleetOptions): RunSettings {
  return {
    agents: AGENTS[options.size ?? "full"],
    publishers: PUBLISHERS,
    leaseTtlSeconds: options.leaseTtlSeconds ?? LEASE_TTL_SECONDS,
    sessionTtlSeconds: SESSION_TTL_SECONDS,
    probeSeconds: options.probeSeconds ?? PROBE_SECONDS,
    ...FRESHNESS_DEFAULT,
  };
}

/** The first failure, but only once all have settled: nothing is still starting then. */
async function settled(work: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}
