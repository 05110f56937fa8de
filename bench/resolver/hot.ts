import { distributionOf, round } from "../support/distribution.ts";
import type { Figures, Goal, Measured } from "../support/result.ts";
import type { Stage } from "../support/stage.ts";
import { startTask, type Task } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import { serviceName } from "../support/workload.ts";
import { bundleConstant, type Constant, type ResolverBundle } from "./bundles.ts";
import { startEdgeStore } from "./edge.ts";
import { constantOf } from "./constant-of.ts";
import { allAnswered, holdAll, lookupOf, shuffled } from "./requests.ts";
import type { Answers, Load } from "./tasks/load.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

const CONNECTIONS = 64;
/** About 2 KB an answer. */
const INSTANCES_PER_SERVICE = 5;
/** The subjects: the same answer as a constant, with all of its headers and with no more than its type; and ours. */
const WHOLE = "constant, body and headers";
const BARE = "constant, body alone";
const RESOLVER = "resolver";

interface Scale {
  readonly services: number;
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
}

/** Many short rounds in turn: what disturbs the machine for a while disturbs both. */
const FULL: Scale = { services: 1000, rounds: 9, roundMs: 800, warmUpMs: 1500 };
const SHORT: Scale = { services: 50, rounds: 1, roundMs: 100, warmUpMs: 100 };

interface Question {
  readonly name: string;
  /** What is asked of a service, each in turn: query strings, or the rest of the path. */
  readonly queriesOf: (service: number) => readonly string[];
  readonly goal: number;
}

/** They select two instances of every service, so that all answers are of a size. */
const FILTERS = ["version=^2.14", "tag=primary", "region=eu-central-1", "meta.commit=5f1c9e2ab74d08836ce1"].map(
  (filter) => `?${filter}&limit=2`,
);
const KEYS = Array.from({ length: 16 }, (_, index) => `/pick?key=session-${index}`);

const QUESTIONS: readonly Question[] = [
  { name: "lookup", queriesOf: () => [""], goal: 0.9 },
  { name: "filtered lookup", queriesOf: (service) => [FILTERS[service % FILTERS.length] ?? ""], goal: 0.75 },
  { name: "lookup by any of four filters", queriesOf: () => FILTERS, goal: 0.75 },
  { name: "pick", queriesOf: () => ["/pick"], goal: 0.75 },
  { name: "pick by key", queriesOf: () => KEYS, goal: 0.75 },
];

interface Round {
  readonly answers: Answers;
  readonly perSecond: number;
  readonly cpuMsPerThousand: number;
  readonly generatorCores: number;
}

interface Subject {
  readonly name: string;
  readonly worker: Workerd;
}

/** Lookups from memory against a Worker that does nothing. */
export async function measureHot(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const { services } = scale;
  const store = await startEdgeStore(stage, { services, instancesPerService: INSTANCES_PER_SERVICE });
  const resolver = await startWorkerd(stage, {
    name: "resolver",
    script: await bundle.path(stage.signal),
    env: store.env,
  });
  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  await holdAll(load, resolver, services);

  const figures: Record<string, Figures> = {};
  const goals: Goal[] = [];
  const raw: Record<string, unknown> = {};
  for (const question of QUESTIONS) {
    const requests = Array.from({ length: services }, (_, service) =>
      question.queriesOf(service).map((query) => lookupOf(service, services, query)),
    ).flat();
    const path = `/v1/services/${serviceName(0, services)}${question.queriesOf(0)[0] ?? ""}`;
    const whole = await constantOf(resolver, path);
    const bare = { ...whole, headers: { "content-type": "application/json" } };
    const start = async (constant: Constant) =>
      startWorkerd(stage, { name: "constant", script: await bundleConstant(stage, constant) });
    const subjects: readonly Subject[] = [
      { name: WHOLE, worker: await start(whole) },
      { name: BARE, worker: await start(bare) },
      { name: RESOLVER, worker: resolver },
    ];
    stage.say(question.name);
    const taken = await takeRounds(stage, load, subjects, shuffled(requests), scale);
    for (const { name, worker } of subjects) if (name !== RESOLVER) await worker.close();
    const ofResolver = taken.get(RESOLVER) ?? [];
    const against = (name: string) => {
      const ofConstant = taken.get(name) ?? [];
      const throughput = distributionOf(
        ofResolver.map(({ perSecond }, index) => perSecond / (ofConstant[index]?.perSecond ?? Number.NaN)),
      );
      const cpu = distributionOf(
        ofResolver.map(
          ({ cpuMsPerThousand }, index) => (ofConstant[index]?.cpuMsPerThousand ?? Number.NaN) / cpuMsPerThousand,
        ),
      );
      return { ofConstant, throughput, cpu };
    };
    for (const name of [WHOLE, BARE]) {
      const { ofConstant, throughput, cpu } = against(name);
      figures[`${question.name}: ${name}`] = {
        ...figuresOf(ofConstant),
        "resolver to it, median": round(throughput.p50, 3),
        "least and most": `${round(throughput.min, 2)} to ${round(throughput.max, 2)}`,
        "by CPU, median": round(cpu.p50, 3),
      };
    }
    figures[`${question.name}: ${RESOLVER}`] = figuresOf(ofResolver);
    const { throughput, cpu } = against(WHOLE);
    goals.push(
      goalOf(`${question.name}: CPU of the constant Worker for a request, to ours`, round(cpu.p50, 3), question.goal),
      goalOf(`${question.name}: throughput to the constant Worker's`, round(throughput.p50, 3), question.goal),
    );
    raw[question.name] = Object.fromEntries(taken);
  }
  return {
    workload: { ...scale, connections: CONNECTIONS, instancesPerService: INSTANCES_PER_SERVICE },
    versions: { redis: store.redis.version },
    figures,
    goals,
    notes: [
      "Rounds are taken in turn, and ratios are medians of those of the same turn. CPU is all that workerd's process used, the kernel's part for its sockets among it. The load generator shares the cores with it, so throughput depends on what else runs; CPU for each request does hardly, and decides where the two disagree.",
      "The goals are against the Worker that answers the very same bytes, headers among them. The one that answers the body with nothing but its type shows what headers cost on Workers by themselves.",
      "Services are asked for in turn: filtered by one of four filters each, then by all four; picked at random, then by 16 keys each. Filters select two instances. A bearer key is checked for each request; the constant Workers are sent it as well.",
    ],
    raw,
  };
}

/** The rounds of each subject, taken in turn. */
async function takeRounds(
  stage: Stage,
  load: Task<Load>,
  subjects: readonly Subject[],
  requests: readonly string[],
  { rounds, roundMs, warmUpMs }: Scale,
): Promise<ReadonlyMap<string, readonly Round[]>> {
  for (const { name, worker } of subjects) {
    await load.call("aim", { name, target: { port: worker.port, connections: CONNECTIONS, requests } });
    await load.call("saturate", { name, durationMs: warmUpMs });
  }
  const taken = new Map(subjects.map(({ name }) => [name, [] as Round[]]));
  for (let index = 0; index < rounds; index++) {
    // None is always the first.
    const order = subjects.map((_, place) => subjects[(place + index) % subjects.length]);
    for (const subject of order) {
      stage.signal.throwIfAborted();
      if (!subject) continue;
      const { name, worker } = subject;
      const before = { worker: cpuSecondsOf(worker.pid), load: cpuSecondsOf(load.pid) };
      const answers = allAnswered(name, await load.call("saturate", { name, durationMs: roundMs }));
      const cpuSeconds = cpuSecondsOf(worker.pid) - before.worker;
      taken.get(name)?.push({
        answers,
        perSecond: answers.answered / (answers.tookMs / 1000),
        cpuMsPerThousand: (cpuSeconds / answers.answered) * 1e6,
        generatorCores: (cpuSecondsOf(load.pid) - before.load) / (answers.tookMs / 1000),
      });
    }
  }
  return taken;
}

function figuresOf(rounds: readonly Round[]): Figures {
  return {
    "per second": Math.round(distributionOf(rounds.map(({ perSecond }) => perSecond)).p50),
    "CPU ms per 1,000": round(sum(rounds, ({ cpuMsPerThousand }) => cpuMsPerThousand) / rounds.length),
    "generator cores": round(sum(rounds, ({ generatorCores }) => generatorCores) / rounds.length, 2),
  };
}

function goalOf(what: string, actual: number, limit: number): Goal {
  return { what, actual, bound: "at least", limit, unit: "×" };
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}
