import { ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import { decodeHead } from "../../contract/head.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { distributionOf, round } from "../support/distribution.ts";
import { putInstances } from "../support/instances.ts";
import { startRegistrarProcess } from "../support/registrar-process.ts";
import type { Measured } from "../support/result.ts";
import { startBenchEtcd, startBenchRedis, type BenchEtcd, type BenchRedis } from "../support/servers.ts";
import type { Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import { cpuSecondsOf, memoryOf } from "../support/usage.ts";
import type { GetAllInput, GetAllOutput } from "./tasks/get-all.ts";

/** After a start, until what it needed only for that can have been given back. */
const SETTLE_MS = 5000;

interface Start {
  readonly readyMs: number;
  readonly rssMb: number;
  readonly peakMb: number;
  readonly settledMb: number;
  readonly cpuSeconds: number;
}

/** From the start of a publisher's process until it is ready, everything in Redis, and what memory that takes. */
export async function measureStart(stage: Stage, short: boolean): Promise<Measured> {
  const instances = short ? 1000 : 100_000;
  const services = instances / 10;
  const starts = short ? 1 : 3;
  const settleMs = short ? 100 : SETTLE_MS;
  const etcd = await startBenchEtcd(stage);
  const redis = await startBenchRedis(stage);
  stage.say(`putting ${instances} instances`);
  await putInstances(etcd, instances, services);

  const bare: Start[] = [];
  const cold: Start[] = [];
  const warm: Start[] = [];
  for (let index = 0; index < starts; index++) {
    stage.say(`start ${index + 1} of ${starts}`);
    bare.push(await getAll(stage, etcd, instances));
    await redis.cli("FLUSHALL");
    cold.push(await startPublisher(stage, etcd, redis, instances, settleMs));
    warm.push(await startPublisher(stage, etcd, redis, instances, settleMs));
  }
  const worst = (pick: (start: Start) => number) => Math.max(...cold.map(pick));
  return {
    workload: { instances, services, starts },
    versions: { etcd: etcd.version, redis: redis.version },
    figures: {
      "bare etcd3 getAll": figuresOf(bare),
      "publisher, Redis empty": figuresOf(cold),
      "publisher, Redis filled": figuresOf(warm),
    },
    goals: [
      {
        what: "cold start to ready",
        actual: round(worst(({ readyMs }) => readyMs) / 1000, 2),
        bound: "at most",
        limit: 5,
        unit: "s",
      },
      { what: "peak RSS", actual: Math.round(worst(({ peakMb }) => peakMb)), bound: "at most", limit: 400, unit: "MB" },
      {
        what: "RSS when ready",
        actual: Math.round(worst(({ rssMb }) => rssMb)),
        bound: "at most",
        limit: 400,
        unit: "MB",
      },
    ],
    notes: [
      "From the start of the process, Node's own included. Ready means that every service is in Redis. MB are 10^6 bytes; the peak is VmHWM, the most that the process ever had.",
      "The bare getAll publishes nothing: it only has all values as text.",
    ],
    raw: { bare, cold, warm },
  };
}

async function startPublisher(
  stage: Stage,
  etcd: BenchEtcd,
  redis: BenchRedis,
  instances: number,
  settleMs: number,
): Promise<Start> {
  const publisher = await startRegistrarProcess(stage, {
    name: "publisher",
    role: "publisher",
    etcd,
    redisUrl: redis.url,
  });
  const { rssMb } = memoryOf(publisher.pid);
  const head = decodeHead(await redis.cli("GET", headKey("default")), "default");
  if (head.instances !== instances) throw new Error(`ready with ${head.instances} of ${instances} instances in Redis`);
  const cpuSeconds = cpuSecondsOf(publisher.pid);
  await stage.pause(settleMs);
  const settled = memoryOf(publisher.pid);
  await publisher.close();
  return { readyMs: publisher.readyMs, rssMb, peakMb: settled.peakMb, settledMb: settled.rssMb, cpuSeconds };
}

async function getAll(stage: Stage, etcd: BenchEtcd, instances: number): Promise<Start> {
  const startedAt = performance.now();
  const task = startTask<{ getAll: (input: GetAllInput) => Promise<GetAllOutput> }>(
    stage,
    import.meta.url,
    "./tasks/get-all.ts",
  );
  const prefix = `${ETCD_PREFIX}default/`;
  const { keys } = await task.call("getAll", { endpoint: etcd.endpoint, ...etcd.user, prefix });
  const readyMs = performance.now() - startedAt;
  if (keys !== instances) throw new Error(`getAll gave ${keys} of ${instances} instances`);
  const { rssMb, peakMb } = memoryOf(task.pid);
  const cpuSeconds = cpuSecondsOf(task.pid);
  await task.close();
  return { readyMs, rssMb, peakMb, settledMb: rssMb, cpuSeconds };
}

function figuresOf(starts: readonly Start[]) {
  const middle = (pick: (start: Start) => number) => distributionOf(starts.map(pick)).p50;
  return {
    "median s": round(middle(({ readyMs }) => readyMs) / 1000, 2),
    "worst s": round(Math.max(...starts.map(({ readyMs }) => readyMs)) / 1000, 2),
    "RSS when ready MB": Math.round(middle(({ rssMb }) => rssMb)),
    "peak RSS MB": Math.round(middle(({ peakMb }) => peakMb)),
    "RSS later MB": Math.round(middle(({ settledMb }) => settledMb)),
    "CPU s": round(
      middle(({ cpuSeconds }) => cpuSeconds),
      2,
    ),
  };
}
