import { readFileSync } from "node:fs";
import { distributionOf, round } from "../support/distribution.ts";
import type { Figures, Measured } from "../support/result.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startTask, type Task } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import { bundleConstant, type ResolverBundle } from "./bundles.ts";
import { constantOf } from "./constant-of.ts";
import { startEdgeStore, type EdgeStore } from "./edge.ts";
import { allAnswered, lookupsOf } from "./requests.ts";
import type { Answers, Load } from "./tasks/load.ts";
import { startWorkerd } from "./workerd.ts";

const INSTANCES_PER_SERVICE = 5;
/** Far longer than a crowd takes: on a slow machine that is seconds, and the head would be read again in each of them. */
const FRESH = { FINGERPOST_FRESH_MS: "30000", FINGERPOST_SWR_MS: "30000" };
const PATH = "/v1/services/service-00000";

interface Scale {
  readonly lookups: number;
  readonly rounds: number;
  /** Of the line to Redis: from one data centre to the next. */
  readonly lineMs: number;
  readonly roundTrips: number;
}

/** workerd takes two for each connection. */
const DESCRIPTORS_PER_LOOKUP = 2;
/** Beside connections: what a process has open anyway. */
const DESCRIPTORS_OTHER = 200;

const FULL: Scale = { lookups: 10_000, rounds: 5, lineMs: 50, roundTrips: 40 };
const SHORT: Scale = { lookups: 200, rounds: 1, lineMs: 30, roundTrips: 3 };

interface Crowd {
  readonly answers: Answers;
  readonly reads: number;
  /** Of workerd, from its start on. */
  readonly cpuSeconds: number;
}

/** A crowd that asks for one service of which the isolate knows nothing: it has just been started. */
export async function measureStampede(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const wanted = short ? SHORT : FULL;
  const lookups = Math.min(wanted.lookups, Math.floor((openFilesMax() - DESCRIPTORS_OTHER) / DESCRIPTORS_PER_LOOKUP));
  const scale = { ...wanted, lookups };
  const store = await startEdgeStore(stage, { services: 1, instancesPerService: INSTANCES_PER_SERVICE });
  store.line.latencyMs(scale.lineMs);
  const ours = await bundle.path(stage.signal);
  const example = await startWorkerd(stage, { name: "example", script: ours, env: store.env });
  const constant = await bundleConstant(stage, await constantOf(example, PATH));
  await example.close();
  const roundTripMs = distributionOf(await roundTrips(store, scale.roundTrips));

  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  const ofConstant: Crowd[] = [];
  const ofResolver: Crowd[] = [];
  for (let index = 0; index < scale.rounds; index++) {
    stage.say(`crowd ${index + 1} of ${scale.rounds}`);
    ofConstant.push(await measureCrowd(stage, load, store, constant, scale));
    ofResolver.push(await measureCrowd(stage, load, store, ours, scale));
  }
  const p99Of = (crowds: readonly Crowd[]) => distributionOf(crowds.map(({ answers }) => answers.latencyMs.p99)).p50;
  const readsMost = Math.max(...ofResolver.map(({ reads }) => reads));
  return {
    workload: { ...scale, instancesPerService: INSTANCES_PER_SERVICE },
    versions: { redis: store.redis.version },
    figures: {
      "Redis round trip over the line": { "p50 ms": round(roundTripMs.p50), "p99 ms": round(roundTripMs.p99) },
      "constant Hono Worker": figuresOf(ofConstant),
      resolver: { ...figuresOf(ofResolver), "Redis commands": readsMost },
    },
    goals: [
      { what: "Redis commands for the crowd", actual: readsMost, bound: "at most", limit: 1, unit: "" },
      {
        what: "p99 of the crowd",
        actual: round(p99Of(ofResolver)),
        bound: "at most",
        limit: round(2 * roundTripMs.p50 + p99Of(ofConstant)),
        unit: "ms",
      },
    ],
    notes: [
      "Each lookup has a connection of its own, open before. All requests are sent before any answer is looked at; latency is from when each was sent. Each crowd meets a new process: its isolate has run nothing, knows no token and no service.",
      "`fresh` is 30 s here: a crowd takes more than a second on few cores, and the head would be read again in each second, which is not the crowd's cost.",
      ...(lookups < wanted.lookups
        ? [
            `${wanted.lookups} were wanted. This machine lets a process open ${openFilesMax()} files, and workerd takes two for each connection.`,
          ]
        : []),
      "The limit is twice the p50 of the round trip, by one client over the same line, and the p99 of the same crowd at a constant Worker. Figures are medians over the crowds; the commands are the most of any.",
      "What a cold lookup costs beside a response by itself is CPU: the hash of a token that nothing has verified yet, and a timer and a waitUntil of its own, since a promise in workerd belongs to its request. On few cores a crowd waits for all of it.",
    ],
    raw: { roundTripMs, constant: ofConstant, resolver: ofResolver },
  };
}

async function measureCrowd(
  whole: Stage,
  load: Task<Load>,
  store: EdgeStore,
  script: string,
  { lookups }: Scale,
): Promise<Crowd> {
  const stage = whole.own(createStage("stampede", whole.signal));
  const { port, pid } = await startWorkerd(stage, { name: "crowded", script, env: { ...store.env, ...FRESH } });
  const before = await store.reads();
  await load.call("aim", { name: "crowd", target: { port, connections: lookups, requests: lookupsOf(1) } });
  const answers = allAnswered("the crowd", await load.call("atOnce", { name: "crowd" }));
  const reads = (await store.reads()) - before;
  const cpuSeconds = cpuSecondsOf(pid);
  await stage.close();
  return { answers, reads, cpuSeconds };
}

/** What one GET takes over the line, milliseconds, on a connection that is open. */
async function roundTrips({ env }: EdgeStore, count: number): Promise<readonly number[]> {
  const times: number[] = [];
  for (let index = 0; index <= count; index++) {
    const startedAt = performance.now();
    const response = await fetch(env["UPSTASH_REDIS_REST_URL"] ?? "", {
      method: "POST",
      headers: { authorization: `Bearer ${env["UPSTASH_REDIS_REST_TOKEN"]}` },
      body: '["GET","nothing"]',
    });
    await response.text();
    // The first one opens the connection.
    if (index > 0) times.push(performance.now() - startedAt);
  }
  return times;
}

function figuresOf(crowds: readonly Crowd[]): Figures {
  const median = (of: (answers: Answers) => number) =>
    round(distributionOf(crowds.map(({ answers }) => of(answers))).p50);
  return {
    "p50 ms": median(({ latencyMs }) => latencyMs.p50),
    "p99 ms": median(({ latencyMs }) => latencyMs.p99),
    "all answered after ms": median(({ tookMs }) => tookMs),
    "CPU s of workerd": round(distributionOf(crowds.map(({ cpuSeconds }) => cpuSeconds)).p50, 2),
  };
}

/** How many files a process may have open here. */
function openFilesMax(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity);
}
