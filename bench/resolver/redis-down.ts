import { distributionOf, round } from "../support/distribution.ts";
import type { Figures, Goal, Measured } from "../support/result.ts";
import type { Stage } from "../support/stage.ts";
import { startTask, type Task } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import { type ResolverBundle } from "./bundles.ts";
import { startEdgeStore, type EdgeStore } from "./edge.ts";
import { allAnswered, holdAll, lookupsOf, shuffled } from "./requests.ts";
import type { Answers, Load } from "./tasks/load.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

const CONNECTIONS = 16;
const INSTANCES_PER_SERVICE = 5;
const NAME = "resolver";

interface Scale {
  readonly services: number;
  readonly rounds: number;
  readonly roundMs: number;
  /** From the fault until an outage counts as one that lasts: past `swr` and two readings that hang, so the breaker is open. */
  readonly onsetMs: number;
  readonly recoveryMs: number;
}

const FULL: Scale = { services: 1000, rounds: 4, roundMs: 2000, onsetMs: 7000, recoveryMs: 4000 };
const SHORT: Scale = { services: 20, rounds: 1, roundMs: 100, onsetMs: 300, recoveryMs: 300 };

type Fault = "healthy" | "black hole" | "refused";
const FAULTS: readonly Exclude<Fault, "healthy">[] = ["black hole", "refused"];

interface Round {
  readonly answers: Answers;
  readonly perSecond: number;
  readonly cpuMsPerThousand: number;
}

/** An outage with the healthy round before it. */
interface Pair {
  readonly healthy: Round;
  /** From the moment of the fault on. */
  readonly onset: Round;
  /** While it lasts. */
  readonly lasting: Round;
}

/** Lookups while Redis is away against the same while it is well. */
export async function measureRedisDown(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const { services } = scale;
  const store = await startEdgeStore(stage, { services, instancesPerService: INSTANCES_PER_SERVICE });
  // In a short run an outage is to last as well.
  const times = short ? { FINGERPOST_FRESH_MS: "50", FINGERPOST_SWR_MS: "100" } : {};
  const env = { ...store.env, ...times };
  const resolver = await startWorkerd(stage, { name: NAME, script: await bundle.path(stage.signal), env });
  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  await holdAll(load, resolver, services);
  const target = { port: resolver.port, connections: CONNECTIONS, requests: shuffled(lookupsOf(services)) };
  await load.call("aim", { name: NAME, target });
  await takeRound(load, resolver, scale.recoveryMs);

  const pairs = new Map<string, Pair[]>(FAULTS.map((fault) => [fault, []]));
  for (let index = 0; index < scale.rounds; index++) {
    for (const fault of FAULTS) {
      stage.say(`outage ${index + 1} of ${scale.rounds}: ${fault}`);
      stage.signal.throwIfAborted();
      const healthy = await takeRound(load, resolver, scale.roundMs);
      await set(store, fault);
      const onset = await takeRound(load, resolver, scale.onsetMs);
      const lasting = await takeRound(load, resolver, scale.roundMs);
      pairs.get(fault)?.push({ healthy, onset, lasting });
      await set(store, "healthy");
      await takeRound(load, resolver, scale.recoveryMs);
    }
  }
  const all = [...pairs.values()].flat();
  return {
    workload: { ...scale, connections: CONNECTIONS, instancesPerService: INSTANCES_PER_SERVICE },
    versions: { redis: store.redis.version },
    figures: {
      healthy: figuresOf(all.map(({ healthy }) => healthy)),
      ...Object.fromEntries(
        [...pairs].flatMap(([fault, of]) => [
          [`${fault}, the first ${scale.onsetMs / 1000} s`, figuresOf(of.map(({ onset }) => onset))],
          [`${fault}, while it lasts`, figuresOf(of.map(({ lasting }) => lasting))],
        ]),
      ),
    },
    goals: [...pairs].flatMap(([fault, of]) => goalsOf(fault, of)),
    notes: [
      "Black hole: connections stay open, and no byte passes. Refused: what is open is cut, and nothing new is taken. Every answer is a 200.",
      "Ratios are medians over outages, each against the healthy round just before it. The p99 is that of the whole of a round, at 16 connections that are always busy.",
    ],
    raw: Object.fromEntries(pairs),
  };
}

async function set({ line }: EdgeStore, fault: Fault): Promise<void> {
  if (fault === "healthy") {
    await line.refuse(false);
    line.blackhole(false);
  } else if (fault === "black hole") {
    line.blackhole(true);
  } else {
    await line.refuse(true);
    line.reset();
  }
}

async function takeRound(load: Task<Load>, { pid }: Workerd, durationMs: number): Promise<Round> {
  const before = cpuSecondsOf(pid);
  let answers: Answers;
  let cpuSeconds: number;
  // Again where a short round on a busy machine was too short for the clock of CPU time: it would be divided by.
  do {
    answers = allAnswered(NAME, await load.call("saturate", { name: NAME, durationMs }));
    cpuSeconds = cpuSecondsOf(pid) - before;
  } while (cpuSeconds === 0);
  return {
    answers,
    perSecond: answers.answered / (answers.tookMs / 1000),
    cpuMsPerThousand: (cpuSeconds / answers.answered) * 1e6,
  };
}

function figuresOf(rounds: readonly Round[]): Figures {
  const median = (of: (round: Round) => number) => distributionOf(rounds.map(of)).p50;
  return {
    "per second": Math.round(median(({ perSecond }) => perSecond)),
    "CPU ms per 1,000": round(median(({ cpuMsPerThousand }) => cpuMsPerThousand)),
    "p50 ms": round(
      median(({ answers }) => answers.latencyMs.p50),
      2,
    ),
    "p99 ms": round(
      median(({ answers }) => answers.latencyMs.p99),
      2,
    ),
    "worst ms": round(Math.max(...rounds.map(({ answers }) => answers.latencyMs.max))),
  };
}

function goalsOf(fault: string, pairs: readonly Pair[]): readonly Goal[] {
  const goal = (what: string, ratio: (pair: Pair) => number): Goal => {
    const actual = round(distributionOf(pairs.map(ratio)).p50, 3);
    return { what: `${fault}: ${what}`, actual, bound: "at least", limit: 0.95, unit: "×" };
  };
  return [
    goal("throughput while it lasts, to healthy", ({ healthy, lasting }) => lasting.perSecond / healthy.perSecond),
    goal("throughput from the fault on, to healthy", ({ healthy, onset }) => onset.perSecond / healthy.perSecond),
    goal("CPU for a lookup healthy, to while it lasts", (p) => p.healthy.cpuMsPerThousand / p.lasting.cpuMsPerThousand),
    goal("p99 healthy, to while it lasts", (p) => p.healthy.answers.latencyMs.p99 / p.lasting.answers.latencyMs.p99),
    goal("p99 healthy, to from the fault on", (p) => p.healthy.answers.latencyMs.p99 / p.onset.answers.latencyMs.p99),
  ];
}
