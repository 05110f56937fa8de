import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { COLLECT_ALL } from "../../bench/resolver/inspector.ts";
import { findFreePort } from "../../dev/ports.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Fleet } from "../chaos/fleet/fleet.ts";
import { startFleet } from "../chaos/fleet/start.ts";
import { convergenceMs } from "../chaos/guarantees/convergence.ts";
import { watchCommits } from "../chaos/history/commits.ts";
import type { HistoryEvent, Phase, RunEvent } from "../chaos/history/event.ts";
import { createRecorder, type Recorder } from "../chaos/history/recorder.ts";
import { startSamples } from "../chaos/history/samples.ts";
import { watchStalls } from "../chaos/history/stalls.ts";
import { createStates } from "../chaos/history/states.ts";
import { createInstances } from "../chaos/traffic/instances.ts";
import { createReaders } from "../chaos/traffic/readers.ts";
import { HEAP_DIR_VARIABLE, HEAP_EVERY_MS_VARIABLE } from "./heap-file.ts";
import { startSampler, type Reading } from "./sampler.ts";

/** Some 60 instances change so often. */
const CHANGES_PER_SECOND = 1.5;
/** Of all readers together; an hour of it is within what a history may hold. */
const READS_PER_SECOND = 40;
/** Without lookups, and with nothing else, so that etcd's counts can be held against each other. */
const QUIET_MS = 10_000;
const LOOK_EVERY_MS = 1000;
/** In which the last samples are taken. */
const END_MS = 3000;
/** Readings in a run, whatever its length: an hour has one every ten seconds. */
const READINGS = 360;
/** A full collection of every heap costs the fleet something. */
const READ_EVERY_MS_MIN = 5000;

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Of this run: history, data and logs. */
  readonly dir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Soaked {
  readonly history: readonly HistoryEvent[];
  readonly readings: readonly Reading[];
  /** Of the churn. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly run: RunEvent;
}

/** A whole fleet under steady churn, and nothing that goes wrong. Rejects when something could not be done all the same. */
export async function soak(options: SoakOptions): Promise<Soaked> {
  const { dir, clock } = options;
  mkdirSync(dir, { recursive: true });
  const heapDir = join(dir, "heaps");
  mkdirSync(heapDir);
  const everyMs = Math.max(READ_EVERY_MS_MIN, (options.minutes * 60_000) / READINGS);
  const recorder = createRecorder({ path: join(dir, "history.jsonl"), clock });
  const inspectorPort = await findFreePort(options.random);
  const fleet = await startFleet({
    dir: join(dir, "fleet"),
    // Whoever made the folder removes it, or looks at the logs.
    keep: true,
    onLife: (change) => recorder.record({ type: "life", at: recorder.at(), ...change }),
    nodeImports: [
      {
        modules: [fileURLToPath(new URL("heap-probe.ts", import.meta.url))],
        env: { [HEAP_DIR_VARIABLE]: heapDir, [HEAP_EVERY_MS_VARIABLE]: String(everyMs) },
      },
    ],
    // What the Worker has let go of would else be in its memory for as long as V8 has room: hours, at this rate.
    workerd: { v8Flags: COLLECT_ALL, inspectorPort },
    say: options.say,
    signal: options.signal,
  });
  try {
    return await soakFleet(options, { fleet, recorder, heapDir, inspectorPort, everyMs });
  } finally {
    recorder.close();
    await fleet.close();
  }
}

interface Stage {
  readonly fleet: Fleet;
  readonly recorder: Recorder;
  readonly heapDir: string;
  readonly inspectorPort: number;
  readonly everyMs: number;
}

async function soakFleet(
  { minutes, seed, clock, random, signal, say }: SoakOptions,
  { fleet, recorder, heapDir, inspectorPort, everyMs }: Stage,
): Promise<Soaked> {
  const versions = { etcd: fleet.etcd.version, node: process.versions.node };
  const run: RunEvent = { type: "run", seed, minutes, versions, settings: fleet.settings };
  recorder.record(run);
  const phase = (name: Phase) => {
    say(`${(recorder.at() / 1000).toFixed(0)} s: ${name}`);
    recorder.record({ type: "phase", at: recorder.at(), phase: name });
  };
  phase("warm-up");
  const common = { fleet, recorder, seed, clock };
  const instances = createInstances({ ...common, changesPerSecond: CHANGES_PER_SECOND });
  const { services } = instances;
  const readers = createReaders({ ...common, services, readsPerSecond: READS_PER_SECOND });
  const states = createStates({ fleet, recorder, services, clock, random });
  const stopStalls = watchStalls(recorder, clock);
  const stopSamples = startSamples(fleet, recorder, clock);
  const stopCommits = watchCommits(fleet.redis.servers, recorder, clock);
  const sampler = startSampler({ fleet, heapDir, inspectorPort, everyMs, at: () => recorder.at(), clock });

  async function agreed(): Promise<void> {
    const deadline = clock.monotonic() + convergenceMs(fleet.settings);
    while (!signal.aborted && (instances.unsettled().length > 0 || !(await states.look()).agree)) {
      if (clock.monotonic() > deadline) throw new Error("etcd, Redis and resolvers do not come to have the same");
      await sleep(clock, LOOK_EVERY_MS, signal);
    }
  }

  /** Etcd without a lookup, and with lookups alone. */
  async function quiet(): Promise<void> {
    await readers.stop();
    phase("idle");
    await sleep(clock, QUIET_MS, signal);
    phase("lookups");
    readers.start();
    await sleep(clock, QUIET_MS, signal);
  }

  try {
    instances.begin();
    readers.start();
    await agreed();
    await quiet();
    // Of faults there are none.
    phase("faults");
    const fromMs = recorder.at();
    instances.startChanges();
    await sleep(clock, minutes * 60_000, signal);
    instances.stopChanges();
    const toMs = recorder.at();
    phase("healed");
    await agreed();
    await quiet();
    phase("end");
    await sleep(clock, END_MS, signal);
    await sampler.stop();
    const { leftOut } = sampler;
    if (leftOut.size > 0)
      say(`readings left out: ${[...leftOut].map(([why, count]) => `${count} (${why})`).join(", ")}`);
    signal.throwIfAborted();
    return { history: recorder.events, readings: sampler.readings, fromMs, toMs, run };
  } finally {
    stopStalls();
    instances.stopChanges();
    await Promise.all([readers.stop(), stopSamples(), stopCommits(), instances.close(), states.close()]);
    await sampler.stop();
  }
}
