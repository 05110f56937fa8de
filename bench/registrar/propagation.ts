import { ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import { until } from "../../test/support/until.ts";
import { distributionOf, round, type Distribution } from "../support/distribution.ts";
import { putInstances } from "../support/instances.ts";
import { startRegistrarProcess } from "../support/registrar-process.ts";
import type { Figures, Measured } from "../support/result.ts";
import { startBenchEtcd, startBenchRedis, type BenchEtcd, type BenchRedis } from "../support/servers.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import type { BarePublisherInput } from "./tasks/bare-publisher.ts";
import type { Change, ChangesInput } from "./tasks/changes.ts";
import type { Sighting, WatchInput } from "./tasks/head-watcher.ts";

const BARE_PREFIX = "bare:";
/** After the last change, for what is still under way. What takes longer is lost. */
const LAST_MS_MAX = 30_000;

interface Workload {
  readonly instances: number;
  readonly services: number;
  readonly changesPerSecond: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

const FULL: Workload = {
  instances: 100_000,
  services: 10_000,
  changesPerSecond: 1000,
  warmUpMs: 3000,
  durationMs: 20_000,
};
const SHORT: Workload = { instances: 2000, services: 200, changesPerSecond: 300, warmUpMs: 300, durationMs: 1000 };

interface Outcome {
  readonly changes: number;
  readonly commits: number;
  readonly fromAcknowledgedMs: Distribution;
  readonly fromSentMs: Distribution;
  readonly putMs: Distribution;
  readonly cores: Readonly<Record<string, number>>;
}

/** From the commit in etcd to the commit in Redis, seen from outside, under a stream of changes. */
export async function measurePropagation(stage: Stage, short: boolean): Promise<Measured> {
  const workload = short ? SHORT : FULL;
  const etcd = await startBenchEtcd(stage);
  const redis = await startBenchRedis(stage);
  await redis.cli("CONFIG", "SET", "notify-keyspace-events", "E$");
  stage.say(`putting ${workload.instances} instances`);
  await putInstances(etcd, workload.instances, workload.services);
  const bare = await measureBare(stage, etcd, redis, workload);
  const ours = await measureOurs(stage, etcd, redis, workload);
  return {
    workload: { ...workload },
    versions: { etcd: etcd.version, redis: redis.version },
    figures: { "bare etcd3 watch, a SET an event": figuresOf(bare, workload), publisher: figuresOf(ours, workload) },
    goals: [
      { what: "p99 from sent to Redis", actual: round(ours.fromSentMs.p99), bound: "at most", limit: 100, unit: "ms" },
      {
        what: "p99 from acknowledged to Redis",
        actual: round(ours.fromAcknowledgedMs.p99),
        bound: "at most",
        limit: 100,
        unit: "ms",
      },
    ],
    notes: [
      "etcd commits between the moment a change is sent and the moment it is acknowledged, so the truth lies between the two rows of figures. A commit in Redis counts from the moment a reader, told by Redis' notification, has read the head.",
      "Of 20 changes 18 replace an instance, one is an arrival and one a departure, over all services, at a fixed rate whether or not earlier ones are answered.",
      "The bare loop keeps no catalog, makes no snapshots, and gives readers no commit point: it is a floor, not an alternative.",
      "All of it shares the cores: the writer and the reader as well.",
    ],
    raw: { bare, ours },
  };
}

async function measureBare(whole: Stage, etcd: BenchEtcd, redis: BenchRedis, workload: Workload): Promise<Outcome> {
  const stage = whole.own(createStage("propagation", whole.signal));
  const publisher = startTask<{ start: (input: BarePublisherInput) => Promise<void> }>(
    stage,
    import.meta.url,
    "./tasks/bare-publisher.ts",
  );
  const prefix = `${ETCD_PREFIX}default/`;
  const target = { redisUrl: redis.url, keyPrefix: BARE_PREFIX };
  await publisher.call("start", { endpoint: etcd.endpoint, ...etcd.user, prefix, ...target });
  stage.say("bare loop: changes");
  const outcome = await observe(stage, { etcd, redis, workload, publisherPid: publisher.pid, of: "keys" });
  await stage.close();
  return outcome;
}

async function measureOurs(whole: Stage, etcd: BenchEtcd, redis: BenchRedis, workload: Workload): Promise<Outcome> {
  const stage = whole.own(createStage("propagation", whole.signal));
  const options = { name: "publisher", role: "publisher", etcd, redisUrl: redis.url } as const;
  const publisher = await startRegistrarProcess(stage, options);
  stage.say("publisher: changes");
  const outcome = await observe(stage, { etcd, redis, workload, publisherPid: publisher.pid, of: "heads" });
  await stage.close();
  return outcome;
}

interface Observation {
  readonly etcd: BenchEtcd;
  readonly redis: BenchRedis;
  readonly workload: Workload;
  readonly publisherPid: number;
  readonly of: WatchInput["of"];
}

async function observe(stage: Stage, { etcd, redis, workload, publisherPid, of }: Observation): Promise<Outcome> {
  const watcher = startTask<{
    watch: (input: WatchInput) => Promise<void>;
    collect: (input: undefined) => Promise<readonly Sighting[]>;
  }>(stage, import.meta.url, "./tasks/head-watcher.ts");
  const writer = startTask<{ run: (input: ChangesInput) => Promise<readonly Change[]> }>(
    stage,
    import.meta.url,
    "./tasks/changes.ts",
  );
  await watcher.call("watch", { url: redis.url, of, keyPrefix: BARE_PREFIX });
  const { instances, services, changesPerSecond, warmUpMs, durationMs } = workload;
  const input = { endpoint: etcd.endpoint, ...etcd.user, instances, services, perSecond: changesPerSecond };
  await writer.call("run", { ...input, durationMs: warmUpMs });
  await watcher.call("collect", undefined);

  const pids = { etcd: etcd.pid, redis: redis.pid, publisher: publisherPid, writer: writer.pid, reader: watcher.pid };
  const cpuBefore = Object.entries(pids).map(([name, pid]) => [name, pid, cpuSecondsOf(pid)] as const);
  const changes = await writer.call("run", { ...input, durationMs });
  const cores = Object.fromEntries(
    cpuBefore.map(([name, pid, before]) => [name, round((cpuSecondsOf(pid) - before) / (durationMs / 1000), 2)]),
  );
  const revisionLast = Math.max(...changes.map(({ revision }) => revision));
  const sightings: Sighting[] = [];
  await until(
    `revision ${revisionLast} is in Redis`,
    async () => {
      stage.signal.throwIfAborted();
      sightings.push(...(await watcher.call("collect", undefined)));
      return sightings.some(({ revision }) => revision >= revisionLast);
    },
    { timeoutMs: LAST_MS_MAX },
  );
  return outcomeOf(changes, sightings, cores);
}

/** Each change against the first sighting at its revision or a later one. */
function outcomeOf(
  changes: readonly Change[],
  sightings: readonly Sighting[],
  cores: Readonly<Record<string, number>>,
): Outcome {
  const ordered = changes.toSorted((a, b) => a.revision - b.revision);
  const fromAcknowledged: number[] = [];
  const fromSent: number[] = [];
  let at = 0;
  for (const change of ordered) {
    while ((sightings[at]?.revision ?? Infinity) < change.revision) at++;
    const sighting = sightings[at];
    if (!sighting) throw new Error(`revision ${change.revision} was never seen in Redis`);
    // Redis can have it before the acknowledgement has come back.
    fromAcknowledged.push(Math.max(0, sighting.seenAtMs - change.acknowledgedAtMs));
    fromSent.push(sighting.seenAtMs - change.sentAtMs);
  }
  return {
    changes: changes.length,
    commits: sightings.length,
    fromAcknowledgedMs: distributionOf(fromAcknowledged),
    fromSentMs: distributionOf(fromSent),
    putMs: distributionOf(changes.map(({ sentAtMs, acknowledgedAtMs }) => acknowledgedAtMs - sentAtMs)),
    cores,
  };
}

function figuresOf(outcome: Outcome, { durationMs }: Workload): Figures {
  const { changes, commits, fromAcknowledgedMs, fromSentMs, putMs, cores } = outcome;
  return {
    "changes per second": Math.round(changes / (durationMs / 1000)),
    "commits per second": Math.round(commits / (durationMs / 1000)),
    "p50 from acknowledged ms": round(fromAcknowledgedMs.p50),
    "p99 from acknowledged ms": round(fromAcknowledgedMs.p99),
    "p50 from sent ms": round(fromSentMs.p50),
    "p99 from sent ms": round(fromSentMs.p99),
    "p99 of the write alone ms": round(putMs.p99),
    ...Object.fromEntries(Object.entries(cores).map(([name, used]) => [`${name} cores`, used])),
  };
}
