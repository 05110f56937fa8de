import { round } from "../support/distribution.ts";
import type { Figures, Measured } from "../support/result.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import { serviceName } from "../support/workload.ts";
import { bundleRedisReader, type ResolverBundle } from "./bundles.ts";
import { instancesOf, startEdgeStore, type EdgeStore } from "./edge.ts";
import { allAnswered, holdAll, lookupsOf, shuffled } from "./requests.ts";
import type { Answers, Load } from "./tasks/load.ts";
import { startWorkerd } from "./workerd.ts";

const CONNECTIONS = 16;
const INSTANCES_PER_SERVICE = 5;
const MILLION = 1_000_000;

/** One point at which the formula is held against what Redis counts. */
interface Point {
  readonly services: number;
  readonly lookupsPerSecond: number;
  readonly changesPerSecond: number;
  readonly freshMs: number;
  readonly seconds: number;
}

interface Scale {
  readonly goal: Point;
  readonly others: readonly Point[];
  readonly baselineSeconds: number;
}

const POINT: Point = { services: 500, lookupsPerSecond: 1000, changesPerSecond: 1, freshMs: 1000, seconds: 60 };
const FULL: Scale = {
  goal: POINT,
  others: [
    { ...POINT, changesPerSecond: 0, seconds: 20 },
    { ...POINT, changesPerSecond: 20, seconds: 20 },
    { ...POINT, freshMs: 250, seconds: 20 },
    { ...POINT, lookupsPerSecond: 4000, seconds: 20 },
  ],
  baselineSeconds: 5,
};
const SHORT: Scale = {
  goal: { services: 20, lookupsPerSecond: 200, changesPerSecond: 4, freshMs: 200, seconds: 2 },
  others: [],
  baselineSeconds: 0.5,
};

interface Outcome {
  readonly point: Point;
  readonly answered: number;
  readonly reads: number;
  readonly readsPerSecond: number;
  readonly readsPerMillion: number;
}

/** What lookups cost in commands of Redis, by Redis' own count. */
export async function measureCost(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const { goal, others, baselineSeconds } = short ? SHORT : FULL;
  const store = await startEdgeStore(stage, { services: goal.services, instancesPerService: INSTANCES_PER_SERVICE });
  const script = await bundle.path(stage.signal);
  const baseline = await measureBaseline(stage, store, { ...goal, seconds: baselineSeconds });
  const outcomes: Outcome[] = [];
  for (const point of [goal, ...others]) outcomes.push(await measurePoint(stage, store, script, point));
  const ours = outcomes[0];
  if (!ours) throw new Error("nothing was measured");
  return {
    workload: { ...goal, connections: CONNECTIONS, instancesPerService: INSTANCES_PER_SERVICE },
    versions: { redis: store.redis.version },
    figures: {
      "@upstash/redis, a GET for each request": figuresOf(baseline),
      ...Object.fromEntries(
        outcomes.map((outcome) => {
          return [`resolver, ${nameOf(outcome.point)}`, { ...figuresOf(outcome), ...expectationOf(outcome.point) }];
        }),
      ),
    },
    goals: [
      {
        what: "Redis commands per million lookups, one isolate",
        actual: Math.round(ours.readsPerMillion),
        bound: "at most",
        limit: short ? MILLION / 10 : 2500,
        unit: "",
      },
    ],
    notes: [
      "Commands per second of an isolate that is asked all the time = 1 / fresh + ceil(services changed in a fresh interval / 64) / fresh: a GET of the head for each interval, and an MGET for every 64 held services that changed in it. With c changes a second, each of another service, and few of them, that is 1 / fresh + min(c, 1 / fresh). The number of services and of lookups is not in it. What is read cold comes on top: one MGET of a head and the service, once. So does one PERSIST in an isolate's life, ten seconds after its start or later, which finds out whether its token may write; it is not in these counts.",
      "The interval begins anew when a reading has ended and something is asked, so it is a little longer than `fresh`, and the count a little lower.",
      "Several isolates of one data centre each have these costs in this measurement: the colo cache here is empty, as it is with workerd alone.",
      "Lookups come at a fixed rate over all services in turn. Commands are the GETs and MGETs that Redis has run.",
    ],
    raw: { baseline, outcomes },
  };
}

async function measurePoint(whole: Stage, store: EdgeStore, script: string, point: Point): Promise<Outcome> {
  const stage = whole.own(createStage("cost", whole.signal));
  stage.say(nameOf(point));
  const { services, freshMs } = point;
  const env = { ...store.env, FINGERPOST_FRESH_MS: String(freshMs), FINGERPOST_SWR_MS: String(2 * freshMs) };
  const resolver = await startWorkerd(stage, { name: "resolver", script, env });
  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  await holdAll(load, resolver, services);
  const stopChanges = changeServices(stage, store, point);
  const outcome = await count(store, point, async () => {
    const target = { port: resolver.port, connections: CONNECTIONS, requests: shuffled(lookupsOf(services)) };
    await load.call("aim", { name: "resolver", target });
    return load.call("steadily", {
      name: "resolver",
      perSecond: point.lookupsPerSecond,
      durationMs: point.seconds * 1000,
    });
  });
  await stopChanges();
  await stage.close();
  return outcome;
}

async function measureBaseline(whole: Stage, store: EdgeStore, point: Point): Promise<Outcome> {
  const stage = whole.own(createStage("cost", whole.signal));
  const env = { ...store.env, CLIENT: "lean" };
  const worker = await startWorkerd(stage, { name: "redis-reader", script: await bundleRedisReader(stage), env });
  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  const outcome = await count(store, point, async () => {
    const target = { port: worker.port, connections: CONNECTIONS, requests: shuffled(lookupsOf(point.services)) };
    await load.call("aim", { name: "baseline", target });
    return load.call("steadily", {
      name: "baseline",
      perSecond: point.lookupsPerSecond,
      durationMs: point.seconds * 1000,
    });
  });
  await stage.close();
  return outcome;
}

async function count(store: EdgeStore, point: Point, ask: () => Promise<Answers>): Promise<Outcome> {
  const before = await store.reads();
  const { answered, tookMs } = allAnswered(nameOf(point), await ask());
  const reads = (await store.reads()) - before;
  return {
    point,
    answered,
    reads,
    readsPerSecond: reads / (tookMs / 1000),
    readsPerMillion: (reads / answered) * MILLION,
  };
}

/** Changes a service at a time, another one each time, at an even rate until what it gives is called. */
function changeServices(stage: Stage, store: EdgeStore, { services, changesPerSecond }: Point): () => Promise<void> {
  if (changesPerSecond === 0) return () => Promise.resolve();
  const everyMs = 1000 / changesPerSecond;
  let changes = 0;
  const stopping = new AbortController();
  const changing = (async () => {
    const startedAt = performance.now();
    while (!stopping.signal.aborted) {
      const waitMs = startedAt + changes * everyMs - performance.now();
      if (waitMs > 0) await stage.pause(waitMs);
      const service = changes++ % services;
      await store.publisher.put(
        serviceName(service, services),
        instancesOf(service, services, INSTANCES_PER_SERVICE, changes),
      );
    }
  })();
  return async () => {
    stopping.abort();
    await changing;
  };
}

function nameOf({ services, lookupsPerSecond, changesPerSecond, freshMs }: Point): string {
  return `${lookupsPerSecond}/s over ${services} services, ${changesPerSecond} changes/s, fresh ${freshMs} ms`;
}

function figuresOf({ answered, reads, readsPerSecond, readsPerMillion }: Outcome): Figures {
  return {
    lookups: answered,
    "Redis commands": reads,
    "commands per second": round(readsPerSecond, 2),
    "commands per million lookups": Math.round(readsPerMillion),
  };
}

function expectationOf({ changesPerSecond, freshMs, lookupsPerSecond }: Point): Figures {
  const perSecond = 1000 / freshMs + Math.min(changesPerSecond, 1000 / freshMs);
  return { "by the formula": Math.round((perSecond / lookupsPerSecond) * MILLION) };
}
