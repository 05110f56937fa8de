import { connect } from "node:net";
import { encodeSnapshot } from "../../contract/snapshot.ts";
import { MEMORY_DEFAULT } from "../../src/options.ts";
import { distributionOf, round } from "../support/distribution.ts";
import type { Figures, Goal, Measured } from "../support/result.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import { memoryOf } from "../support/usage.ts";
import { serviceName } from "../support/workload.ts";
import { bundleConstant, type ResolverBundle } from "./bundles.ts";
import { constantOf } from "./constant-of.ts";
import { CALLER_HEADERS, startEdgeStore, type EdgeStore } from "./edge.ts";
import { COLLECT_ALL, heapOf, type Heap } from "./inspector.ts";
import { allAnswered, holdAll, lookupsOf } from "./requests.ts";
import type { Load } from "./tasks/load.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

const MB = 1_000_000;
/** What an isolate has on Workers. */
const ISOLATE_MB_MAX = 128;
const START_MS_MAX = 20_000;

interface Scale {
  readonly services: number;
  readonly instancesPerService: readonly number[];
  readonly starts: number;
}

const FULL: Scale = { services: 10_000, instancesPerService: [1, 10], starts: 11 };
const SHORT: Scale = { services: 200, instancesPerService: [2], starts: 1 };

interface Size {
  readonly rssMb: number;
  readonly heap: Heap;
}

interface Filled {
  readonly instances: number;
  readonly empty: Size;
  readonly full: Size;
  /** Services of which the isolate still has a snapshot. */
  readonly held: number;
  /** Of all stored snapshots together. */
  readonly textMb: number;
}

interface Start {
  readonly name: string;
  readonly firstAnswerMs: readonly number[];
}

/** What an isolate takes with everything held, and how long a new one takes to its first answer. */
export async function measureMemory(stage: Stage, short: boolean, bundle: ResolverBundle): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const script = await bundle.path(stage.signal);
  const filled: Filled[] = [];
  for (const instances of scale.instancesPerService) filled.push(await fill(stage, script, scale.services, instances));
  const store = await startEdgeStore(stage, { services: 1, instancesPerService: 5 });
  const starts = await measureStarts(stage, store, script, scale.starts);
  return {
    workload: {
      services: scale.services,
      instancesPerService: scale.instancesPerService.join(" and "),
      starts: scale.starts,
    },
    versions: { redis: store.redis.version },
    figures: { ...Object.fromEntries(starts.map(startFigures)), ...Object.fromEntries(filled.map(filledFigures)) },
    goals: filled.map(goalOf),
    notes: [
      `The bound of the snapshots held is an estimate of ${MEMORY_DEFAULT.bytesMax / 1024 / 1024} MiB in all, and ${MEMORY_DEFAULT.entriesMax} of them. Held is how many were answered from memory, from the one read last on.`,
      "RSS is of the whole workerd process. The heap is V8's own figure by the inspector, with what lies outside of it (ArrayBuffers). V8 is made to collect the whole heap each time it collects at all, so there are a few MB of garbage in it at most; RSS has what V8 has not given back.",
      "A start is from the start of the process until the first answer has arrived; the resolver's first answer needs a reading of Redis, which the constant Worker's does not.",
    ],
    raw: { filled, starts },
  };
}

async function fill(whole: Stage, script: string, services: number, instances: number): Promise<Filled> {
  const stage = whole.own(createStage("memory", whole.signal));
  stage.say(`${services} services of ${instances} instances`);
  const store = await startEdgeStore(stage, { services, instancesPerService: instances });
  const resolver = await startWorkerd(stage, {
    name: "resolver",
    script,
    env: store.env,
    inspector: true,
    v8Flags: COLLECT_ALL,
  });
  const load = startTask<Load>(stage, import.meta.url, "./tasks/load.ts");
  const size = async (): Promise<Size> => {
    return { rssMb: memoryOf(resolver.pid).rssMb, heap: await heapOf(resolver.inspectorPort) };
  };
  await lookUp(resolver, 0, services);
  const empty = await size();
  await holdAll(load, resolver, services);
  // Each of them once more as a lookup of its own, so that what is made for answers is there as well.
  const target = { port: resolver.port, connections: 1, requests: lookupsOf(services) };
  await load.call("aim", { name: "look", target });
  allAnswered("lookups", await load.call("each", { name: "look" }));
  const full = await size();
  const held = await countHeld(resolver, services);
  const textMb = textBytes(store) / MB;
  await stage.close();
  return { instances, empty, full, held, textMb };
}

/** From the one that was read last back to the first that is not in memory any more. */
async function countHeld(resolver: Workerd, services: number): Promise<number> {
  for (let held = 0; held < services; held++) {
    if ((await lookUp(resolver, services - 1 - held, services)) !== "memory") return held;
  }
  return services;
}

/** Gives the source of the answer. */
async function lookUp({ port }: Workerd, index: number, services: number): Promise<string | null> {
  const url = `http://127.0.0.1:${port}/v1/services/${serviceName(index, services)}`;
  const response = await fetch(url, { headers: CALLER_HEADERS });
  if (!response.ok) throw new Error(`service ${index} was answered ${response.status}`);
  await response.arrayBuffer();
  return response.headers.get("fingerpost-source");
}

function textBytes({ publisher }: EdgeStore): number {
  const { namespace, epoch, revision } = publisher;
  let bytes = 0;
  for (const [service, instances] of publisher.services) {
    const stamps = {
      namespace,
      service,
      epoch,
      revision,
      etcdRevision: revision,
      publishedAt: "2026-11-21T04:30:00.125Z",
    };
    bytes += encodeSnapshot({ ...stamps, instances }).length;
  }
  return bytes;
}

async function measureStarts(stage: Stage, store: EdgeStore, script: string, count: number): Promise<readonly Start[]> {
  const example = await startWorkerd(stage, { name: "example", script, env: store.env });
  const path = "/v1/services/service-00000";
  const constant = await bundleConstant(stage, await constantOf(example, path));
  await example.close();
  const subjects = [
    { name: "constant Hono Worker: start", script: constant, firstAnswerMs: [] as number[] },
    { name: "resolver: start", script, firstAnswerMs: [] as number[] },
  ];
  stage.say("starts");
  for (let index = 0; index < count; index++) {
    for (const { script: started, firstAnswerMs } of subjects) {
      stage.signal.throwIfAborted();
      const startedAt = performance.now();
      const worker = await startWorkerd(stage, { name: "started", script: started, env: store.env, early: true });
      await firstAnswer(worker.port, lookupsOf(1)[0] ?? "");
      firstAnswerMs.push(performance.now() - startedAt);
      await worker.close();
    }
  }
  return subjects;
}

/** Asks as soon as there is somebody to be asked, and waits for the first bytes of a 200. */
async function firstAnswer(port: number, request: string): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const outcome = await ask(port, request);
    if (outcome === "200") return;
    if (outcome !== "nobody") throw new Error(`the first answer was ${outcome}`);
    if (performance.now() > deadline) throw new Error("there was no answer");
  }
}

function ask(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    // Refused: it does not listen yet.
    socket.once("error", () => setImmediate(resolve, "nobody"));
    socket.once("connect", () => socket.write(request));
    socket.once("end", () => reject(new Error("the connection ended before an answer")));
    socket.once("data", (chunk) => {
      socket.destroy();
      resolve(chunk.toString("latin1").slice(9, 12));
    });
  });
}

function startFigures({ name, firstAnswerMs }: Start): readonly [string, Figures] {
  const { p50, min, max } = distributionOf(firstAnswerMs);
  return [name, { "first answer p50 ms": round(p50), "least ms": round(min), "most ms": round(max) }];
}

function filledFigures({ instances, empty, full, held, textMb }: Filled): readonly [string, Figures] {
  const figures = {
    "services held": held,
    "snapshots as text MB": round(textMb),
    "RSS before MB": round(empty.rssMb),
    "RSS after MB": round(full.rssMb),
    "heap before MB": round(heapMb(empty)),
    "heap after MB": round(heapMb(full)),
  };
  return [`resolver: services of ${instances} instances`, figures];
}

function heapMb({ heap }: Size): number {
  return (heap.usedBytes + heap.outsideBytes) / MB;
}

function goalOf({ instances, full }: Filled): Goal {
  const what = `heap with services of ${instances} instances held`;
  return { what, actual: round(heapMb(full)), bound: "at most", limit: ISOLATE_MB_MAX, unit: "MB" };
}
