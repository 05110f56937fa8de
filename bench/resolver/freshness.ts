import { ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import { until } from "../../test/support/until.ts";
import { distributionOf, round, type Distribution } from "../support/distribution.ts";
import { putInstances } from "../support/instances.ts";
import { startRegistrarProcess } from "../support/registrar-process.ts";
import type { Figures, Goal, Measured } from "../support/result.ts";
import { startBenchEtcd, startBenchRedis, type BenchEtcd } from "../support/servers.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startTask, type Task } from "../support/task.ts";
import { bundleRedisReader, type ResolverBundle } from "./bundles.ts";
import { startLine } from "./edge.ts";
import { lookupsOf } from "./requests.ts";
import type { MirrorInput } from "./tasks/mirror.ts";
import type { Observer, Sighting } from "./tasks/observer.ts";
import type { NumberedChange, SteadyChangesInput } from "./tasks/steady-changes.ts";
import { startWorkerd } from "./workerd.ts";

/** After the last change, for what is still under way. What takes longer is lost. */
const LAST_MS_MAX = 30_000;

interface Workload {
  readonly services: number;
  /** Each service is looked up so often. */
  readonly everyMs: number;
  readonly changesPerSecond: number;
  readonly warmUpMs: number;
  readonly baselineSeconds: number;
  readonly seconds: number;
}

const FULL: Workload = {
  services: 20,
  everyMs: 25,
  changesPerSecond: 20,
  warmUpMs: 1000,
  baselineSeconds: 15,
  seconds: 45,
};
const SHORT: Workload = {
  services: 4,
  everyMs: 20,
  changesPerSecond: 40,
  warmUpMs: 50,
  baselineSeconds: 0.4,
  seconds: 0.5,
};

/** A Worker that is observed. */
interface Observed {
  readonly name: string;
  readonly observer: Task<Observer>;
}

interface Outcome {
  readonly fromSentMs: Distribution;
  readonly fromAcknowledgedMs: Distribution;
}

const MIRROR = "etcd3 watch, a SET an event; a GET for each lookup";
const DEFAULTS = "resolver, defaults";
const FAST = "resolver, fresh 100 ms";

/** From a change in etcd until an answer has it, under steady lookups: over the whole line. */
export async function measureFreshness(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const workload = short ? SHORT : FULL;
  const etcd = await startBenchEtcd(stage);
  await putInstances(etcd, workload.services, workload.services);
  const mirror = measureMirror(stage, etcd, workload);
  // One after the other, but where no figure is kept.
  if (!short) await mirror;
  const [baseline, { outcomes, versions }] = await Promise.all([mirror, measureOurs(stage, etcd, workload, bundle)]);
  const goal = (name: string, limit: number): Goal => {
    const actual = round(outcomes.get(name)?.fromSentMs.p99 ?? Number.NaN);
    return { what: `${name}: p99 from sent to visible`, actual, bound: "at most", limit, unit: "ms" };
  };
  return {
    workload: { ...workload },
    versions: { etcd: etcd.version, ...versions },
    figures: Object.fromEntries([...baseline, ...outcomes].map(([name, outcome]) => [name, figuresOf(outcome)])),
    goals: [goal(DEFAULTS, 1200), goal(FAST, 250)],
    notes: [
      "From the moment a change is sent to etcd, and from when etcd has acknowledged it, until an answer that has it, or a later one of the same service, has arrived. Changes come at random moments, one service after another.",
      "Each service is looked up at a fixed interval, which is part of the figures. Both resolvers are looked at at the same time, in the same run of changes.",
      "The whole line: etcd, the registrar as publisher, Redis, the gateway, workerd; in the baseline a watch of etcd3's, Redis, the gateway, and a Worker that reads Redis for each lookup.",
      "`fresh` is most of ours: an isolate reads at most once in that time.",
    ],
    raw: { baseline: Object.fromEntries(baseline), ours: Object.fromEntries(outcomes) },
  };
}

async function measureMirror(whole: Stage, etcd: BenchEtcd, workload: Workload) {
  const stage = whole.own(createStage("freshness", whole.signal));
  stage.say("mirror");
  const redis = await startBenchRedis(stage);
  const { env } = await startLine(stage, redis, true);
  const mirror = startTask<{ start: (input: MirrorInput) => Promise<void> }>(
    stage,
    import.meta.url,
    "./tasks/mirror.ts",
  );
  const source = { endpoint: etcd.endpoint, ...etcd.user, prefix: `${ETCD_PREFIX}default/` };
  await mirror.call("start", { ...source, redisUrl: redis.url });
  const script = await bundleRedisReader(stage);
  const observed = await observe(stage, MIRROR, script, { ...env, CLIENT: "lean" }, workload);
  const outcomes = await makeChanges(stage, etcd, [observed], workload, workload.baselineSeconds);
  await stage.close();
  return outcomes;
}

async function measureOurs(whole: Stage, etcd: BenchEtcd, workload: Workload, bundle: ResolverBundle) {
  const stage = whole.own(createStage("freshness", whole.signal));
  stage.say("resolvers");
  const redis = await startBenchRedis(stage);
  await startRegistrarProcess(stage, { name: "publisher", role: "publisher", etcd, redisUrl: redis.url });
  const { env } = await startLine(stage, redis, true);
  const script = await bundle.path(stage.signal);
  const fast = { ...env, FINGERPOST_FRESH_MS: "100", FINGERPOST_SWR_MS: "200" };
  const observed = [
    await observe(stage, DEFAULTS, script, env, workload),
    await observe(stage, FAST, script, fast, workload),
  ];
  const outcomes = await makeChanges(stage, etcd, observed, workload, workload.seconds);
  await stage.close();
  return { outcomes, versions: { redis: redis.version } };
}

async function observe(
  stage: Stage,
  name: string,
  script: string,
  env: Readonly<Record<string, string>>,
  { services, everyMs }: Workload,
): Promise<Observed> {
  const { port } = await startWorkerd(stage, { name: "observed", script, env });
  const observer = startTask<Observer>(stage, import.meta.url, "./tasks/observer.ts");
  await observer.call("observe", { port, requests: lookupsOf(services), everyMs });
  return { name, observer };
}

async function makeChanges(
  stage: Stage,
  etcd: BenchEtcd,
  observed: readonly Observed[],
  { services, changesPerSecond, warmUpMs }: Workload,
  seconds: number,
): Promise<ReadonlyMap<string, Outcome>> {
  const writer = startTask<{ run: (input: SteadyChangesInput) => Promise<readonly NumberedChange[]> }>(
    stage,
    import.meta.url,
    "./tasks/steady-changes.ts",
  );
  const input = { endpoint: etcd.endpoint, ...etcd.user, services, perSecond: changesPerSecond };
  const run = (durationMs: number) => writer.call("run", { ...input, durationMs });
  const warmUp = await run(warmUpMs);
  for (const { observer } of observed) await sightingsOf(stage, observer, warmUp);
  const changes = await run(seconds * 1000);
  const outcomes = new Map<string, Outcome>();
  for (const { name, observer } of observed) {
    outcomes.set(name, outcomeOf(changes, await sightingsOf(stage, observer, changes)));
  }
  return outcomes;
}

/** Everything that was seen, once the last change of every service is among it. */
async function sightingsOf(
  stage: Stage,
  observer: Task<Observer>,
  changes: readonly NumberedChange[],
): Promise<readonly Sighting[]> {
  const last = new Map(changes.map(({ service, change }) => [service, change]));
  const sightings: Sighting[] = [];
  await until(
    "the last changes are seen",
    async () => {
      stage.signal.throwIfAborted();
      sightings.push(...(await observer.call("collect", undefined)));
      for (const { service, change } of sightings) {
        if (change >= (last.get(service) ?? Infinity)) last.delete(service);
      }
      return last.size === 0;
    },
    { timeoutMs: LAST_MS_MAX },
  );
  return sightings;
}

/** Each change against the first sighting of it or a later one of its service. */
function outcomeOf(changes: readonly NumberedChange[], sightings: readonly Sighting[]): Outcome {
  const fromSent: number[] = [];
  const fromAcknowledged: number[] = [];
  for (const { service, change, sentAtMs, acknowledgedAtMs } of changes) {
    const sighting = sightings.find((each) => each.service === service && each.change >= change);
    if (!sighting) throw new Error(`change ${change} of service ${service} was never seen`);
    fromSent.push(sighting.seenAtMs - sentAtMs);
    fromAcknowledged.push(Math.max(0, sighting.seenAtMs - acknowledgedAtMs));
  }
  return { fromSentMs: distributionOf(fromSent), fromAcknowledgedMs: distributionOf(fromAcknowledged) };
}

function figuresOf({ fromSentMs, fromAcknowledgedMs }: Outcome): Figures {
  return {
    changes: fromSentMs.count,
    "p50 from sent ms": round(fromSentMs.p50),
    "p99 from sent ms": round(fromSentMs.p99),
    "worst ms": round(fromSentMs.max),
    "p50 from acknowledged ms": round(fromAcknowledgedMs.p50),
    "p99 from acknowledged ms": round(fromAcknowledgedMs.p99),
  };
}
