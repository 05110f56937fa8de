import { ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import { distributionOf, round } from "../support/distribution.ts";
import { putInstances } from "../support/instances.ts";
import { postRequest } from "../support/raw-connection.ts";
import type { Figures, Goal, Measured } from "../support/result.ts";
import { startBenchEtcd, type BenchEtcd } from "../support/servers.ts";
import type { Stage } from "../support/stage.ts";
import { startTask, type Task } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import { serviceName } from "../support/workload.ts";
import { bundleRedisReader, type ResolverBundle } from "./bundles.ts";
import { startEdgeStore } from "./edge.ts";
import { allAnswered, holdAll, lookupsOf, shuffled } from "./requests.ts";
import type { ReadsInput } from "./tasks/etcd3-reads.ts";
import type { Answers, Load } from "./tasks/load.ts";
import { startWorkerd } from "./workerd.ts";

const INSTANCES_PER_SERVICE = 5;
/** For throughput, and for latencies. */
const MANY = 64;
const FEW = 16;

interface Scale {
  readonly services: number;
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
}

const FULL: Scale = { services: 1000, rounds: 5, roundMs: 1200, warmUpMs: 1500 };
const SHORT: Scale = { services: 20, rounds: 1, roundMs: 100, warmUpMs: 50 };

interface Subject {
  readonly name: string;
  /** Of the server that answers, the stores behind it, and the client. */
  readonly pids: Readonly<Record<string, number>>;
  readonly ask: (connections: number, durationMs: number) => Promise<Answers>;
}

interface Round {
  readonly many: Answers;
  readonly few: Answers;
  readonly perSecond: number;
  readonly cores: Readonly<Record<string, number>>;
}

const ETCD3 = "etcd3, a range for each lookup";
const ETCD_HTTP = "etcd's HTTP gateway, a range for each lookup";
const LEAN = "@upstash/redis in a Worker, a GET for each lookup, lean";
const DEFAULT = "@upstash/redis in a Worker, a GET for each lookup, defaults";
const RESOLVER = "resolver";

/** What a function would do without us, a read of the store for each lookup, against a lookup. */
export async function measureAlternatives(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const { services } = scale;
  const etcd = await startBenchEtcd(stage);
  await putInstances(etcd, services * INSTANCES_PER_SERVICE, services);
  const store = await startEdgeStore(stage, {
    services,
    instancesPerService: INSTANCES_PER_SERVICE,
    gatewayApart: true,
  });
  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  const worker = async (name: string, script: string, env: Readonly<Record<string, string>>) => {
    // Not over the line: nobody who reads Redis for each lookup has a proxy of ours on the way.
    const direct = { ...store.env, UPSTASH_REDIS_REST_URL: store.gatewayUrl };
    const { pid, port } = await startWorkerd(stage, { name: "worker", script, env: { ...direct, ...env } });
    const requests = shuffled(lookupsOf(services));
    const pids = { server: pid, stores: store.redis.pid, gateway: store.gatewayPid, client: load.pid };
    return { name, pid, port, pids, ask: await askOver(load, name, port, requests) };
  };
  const reader = await bundleRedisReader(stage);
  const resolver = await worker(RESOLVER, await bundle.path(stage.signal), {});
  await holdAll(load, resolver, services);
  const subjects: readonly Subject[] = [
    etcd3Subject(stage, etcd, services),
    {
      name: ETCD_HTTP,
      pids: { server: etcd.pid, client: load.pid },
      ask: await askOver(load, ETCD_HTTP, etcd.port, shuffled(await rangesOf(etcd, services))),
    },
    await worker(LEAN, reader, { CLIENT: "lean" }),
    await worker(DEFAULT, reader, { CLIENT: "default" }),
    resolver,
  ];
  const taken = await takeRounds(stage, subjects, scale);
  const rounds = (name: string) => taken.get(name) ?? [];
  const rate = (name: string) => distributionOf(rounds(name).map(({ perSecond }) => perSecond)).p50;
  const goal = (what: string, baselines: readonly string[], limit: number): Goal => {
    const best = Math.max(...baselines.map(rate));
    return { what, actual: round(rate(RESOLVER) / best, 2), bound: "at least", limit, unit: "×" };
  };
  return {
    workload: {
      ...scale,
      connections: `${MANY} for throughput, ${FEW} for latencies`,
      instancesPerService: INSTANCES_PER_SERVICE,
    },
    versions: { etcd: etcd.version, redis: store.redis.version },
    figures: Object.fromEntries(subjects.map(({ name }) => [name, figuresOf(rounds(name))])),
    goals: [
      goal("throughput to the better way of reading etcd", [ETCD3, ETCD_HTTP], 3),
      goal("throughput to the better way of reading Redis", [LEAN, DEFAULT], 2.5),
    ],
    notes: [
      "All are asked for the same services, on the same machine and over loopback: a real line to etcd or Redis would be added to each of their lookups, and to none of ours.",
      "etcd has authentication on; each client has its token already. A range is linearizable, as it is by default. The Redis readers have one client an isolate, behind the same gateway as ours.",
      "Throughput with 64 requests under way, latencies with 16; medians over rounds taken in turn.",
      "An isolate is one thread: ours has one core at most, and etcd's HTTP gateway the whole machine. For the CPU that each server used, ours answers 4.3 times as many in the full run; a second isolate would use the second core.",
    ],
    raw: Object.fromEntries(taken),
  };
}

async function askOver(
  load: Task<Load>,
  name: string,
  port: number,
  requests: readonly string[],
): Promise<Subject["ask"]> {
  for (const connections of [MANY, FEW]) {
    await load.call("aim", { name: `${name} ${connections}`, target: { port, connections, requests } });
  }
  return async (connections, durationMs) =>
    allAnswered(name, await load.call("saturate", { name: `${name} ${connections}`, durationMs }));
}

function etcd3Subject(stage: Stage, etcd: BenchEtcd, services: number): Subject {
  const task = startTask<{ read: (input: ReadsInput) => Promise<Answers> }>(
    stage,
    import.meta.url,
    "./tasks/etcd3-reads.ts",
  );
  const { endpoint, user, pid } = etcd;
  const input = { endpoint, ...user, prefix: `${ETCD_PREFIX}default/`, services };
  return {
    name: ETCD3,
    pids: { server: pid, client: task.pid },
    ask: (concurrency, durationMs) => task.call("read", { ...input, concurrency, durationMs }),
  };
}

/** A range over each service's instances, as etcd's HTTP gateway takes it, with a token. */
async function rangesOf({ endpoint, user }: BenchEtcd, services: number): Promise<readonly string[]> {
  const response = await fetch(`${endpoint}/v3/auth/authenticate`, {
    method: "POST",
    body: JSON.stringify({ name: user.username, password: user.password }),
  });
  const { token } = (await response.json()) as { readonly token: string };
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return Array.from({ length: services }, (_, index) => {
    const prefix = `${ETCD_PREFIX}default/${serviceName(index, services)}`;
    // "0" comes after "/": the end of what has the prefix.
    const range = { key: base64(`${prefix}/`), range_end: base64(`${prefix}0`) };
    return postRequest("/v3/kv/range", { authorization: token }, JSON.stringify(range));
  });
}

async function takeRounds(
  stage: Stage,
  subjects: readonly Subject[],
  { rounds, roundMs, warmUpMs }: Scale,
): Promise<ReadonlyMap<string, readonly Round[]>> {
  const taken = new Map(subjects.map(({ name }) => [name, [] as Round[]]));
  for (const subject of subjects) await subject.ask(MANY, warmUpMs);
  for (let index = 0; index < rounds; index++) {
    stage.say(`round ${index + 1} of ${rounds}`);
    for (const { name, pids, ask } of subjects) {
      stage.signal.throwIfAborted();
      const before = Object.entries(pids).map(([part, pid]) => [part, pid, cpuSecondsOf(pid)] as const);
      const many = await ask(MANY, roundMs);
      const seconds = many.tookMs / 1000;
      const cores = before.map(([part, pid, cpu]) => [part, (cpuSecondsOf(pid) - cpu) / seconds]);
      const few = await ask(FEW, roundMs);
      taken.get(name)?.push({
        many,
        few,
        perSecond: many.answered / seconds,
        cores: Object.fromEntries(cores) as Record<string, number>,
      });
    }
  }
  return taken;
}

function figuresOf(rounds: readonly Round[]): Figures {
  const median = (of: (round: Round) => number) => distributionOf(rounds.map(of)).p50;
  const parts = Object.keys(rounds[0]?.cores ?? {});
  return {
    "per second": Math.round(median(({ perSecond }) => perSecond)),
    "p50 ms": round(
      median(({ few }) => few.latencyMs.p50),
      2,
    ),
    "p99 ms": round(
      median(({ few }) => few.latencyMs.p99),
      2,
    ),
    ...Object.fromEntries(
      parts.map((part) => [
        `${part} cores`,
        round(
          median(({ cores }) => cores[part] ?? 0),
          2,
        ),
      ]),
    ),
  };
}
