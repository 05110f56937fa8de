import { rmSync } from "node:fs";
import { join } from "node:path";
import { sleep, type Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import { prepareBroken, type PreparedBuild } from "./broken/prepare.ts";
import type { BrokenBuild } from "./broken/builds.ts";
import { runFaults } from "./faults/driver.ts";
import { FAULTS } from "./faults/index.ts";
import type { Planned } from "./faults/fault.ts";
import type { Fleet } from "./fleet/fleet.ts";
import { startFleet } from "./fleet/start.ts";
import { watchCommits } from "./history/commits.ts";
import type { FaultEvent, HistoryEvent, Phase, RunEvent } from "./history/event.ts";
import { createRecorder, type Recorder } from "./history/recorder.ts";
import { startSamples } from "./history/samples.ts";
import { watchStalls } from "./history/stalls.ts";
import { createStates } from "./history/states.ts";
import { settle } from "./runner/converge.ts";
import { recordLives } from "./runner/lives.ts";
import { FULL, SHORT, type PhaseLengths } from "./runner/phases.ts";
import { minutesOf, scheduleOf } from "./runner/schedule.ts";
import { versionsOf } from "./runner/versions.ts";
import { warmUp } from "./runner/warm-up.ts";
import { createInstances } from "./traffic/instances.ts";
import { SIZES, SIZES_SHORT } from "./traffic/plan.ts";
import { createReaders } from "./traffic/readers.ts";

export interface ChaosOptions {
  readonly seed: number;
  /** Of faults; left out, as long as an explicit schedule is, or two. */
  readonly minutes?: number;
  /** A schedule, or names to draw from; left out, all are drawn from. */
  readonly faults?: string;
  readonly short: boolean;
  readonly keepLogs: boolean;
  readonly broken?: BrokenBuild;
  /** Does this run again. */
  readonly command: string;
  /** Of this run; exists, and is empty. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Told each step, one line each. */
  readonly say: (line: string) => void;
  /** Ends the run where it is. */
  readonly signal: AbortSignal;
}

/** A run that was whole: its history is there to be checked. */
export interface ChaosRun {
  readonly run: RunEvent;
  readonly history: readonly HistoryEvent[];
  readonly historyFile: string;
}

/**
 * Starts a fleet, lets services and readers at it, does the faults of the schedule, and records everything. Rejects when
 * the run itself failed, or with the signal's reason; nothing is left running in any case.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosRun> {
  const { folder, clock } = options;
  const historyFile = join(folder, "history.jsonl");
  const recorder = createRecorder({ path: historyFile, clock });
  const ends: (() => unknown)[] = [() => recorder.close()];
  let run: RunEvent | undefined;
  try {
    run = await compose(options, recorder, ends);
    // As it is now: checks remember what they have made of a history.
    return { run, history: [...recorder.events], historyFile };
  } finally {
    // The last that was begun ends first: nobody asks what is gone.
    for (const end of ends.toReversed()) await end();
    const isWanted = options.keepLogs || (run === undefined && !options.signal.aborted);
    if (!isWanted) rmSync(join(folder, "fleet"), { recursive: true, force: true });
  }
}

async function compose(options: ChaosOptions, recorder: Recorder, ends: (() => unknown)[]): Promise<RunEvent> {
  const { seed, short, folder, clock, random, say, signal, broken } = options;
  const lengths = short ? SHORT : FULL;
  const lives = recordLives(recorder);
  const prepared = broken && (await prepareBroken(broken, folder));
  say("starting the fleet");
  const fleet = await startFleet({
    dir: join(folder, "fleet"),
    // Removed below, where the run was whole: of one that failed they say why.
    keep: true,
    size: short ? "short" : "full",
    onLife: (change) => lives.onLife(change),
    say,
    signal,
    ...prepared?.fleet,
  });
  ends.push(() => fleet.close());
  prepared?.started(fleet);
  signal.throwIfAborted();

  const schedule = scheduleOf(options, fleet.settings.leaseTtlSeconds * 1000);
  const run: RunEvent = {
    type: "run",
    seed,
    minutes: minutesOf(options),
    command: options.command,
    ...(broken ? { broken: broken.name } : {}),
    versions: await versionsOf(fleet),
    settings: fleet.settings,
  };
  lives.begin(run);
  ends.push(watchStalls(recorder, clock));
  ends.push(startSamples(fleet, recorder, clock));
  ends.push(watchCommits(fleet.redis.servers, recorder, clock));
  const instances = createInstances({ fleet, recorder, seed, clock, sizes: short ? SIZES_SHORT : SIZES });
  ends.push(() => instances.close());
  const readers = createReaders({ fleet, recorder, services: instances.services, seed, clock });
  ends.push(() => readers.stop());
  await phases({ options, fleet, recorder, schedule, instances, readers, lengths, random, prepared });
  return run;
}

interface Parts {
  readonly options: ChaosOptions;
  readonly fleet: Fleet;
  readonly recorder: Recorder;
  readonly schedule: readonly Planned[];
  readonly instances: ReturnType<typeof createInstances>;
  readonly readers: ReturnType<typeof createReaders>;
  readonly lengths: PhaseLengths;
  readonly random: Random;
  readonly prepared: PreparedBuild | undefined;
}

async function phases(parts: Parts): Promise<void> {
  const { options, fleet, recorder, instances, readers, lengths, random, prepared } = parts;
  const { clock, say, signal } = options;

  function enter(phase: Phase): void {
    signal.throwIfAborted();
    recorder.record({ type: "phase", at: recorder.at(), phase });
    say(`${phase} at ${(recorder.at() / 1000).toFixed(1)} s; ${recorder.events.length} events`);
  }

  async function quiet(): Promise<void> {
    await readers.stop();
    enter("idle");
    await sleep(clock, lengths.idleMs, signal);
    enter("lookups");
    readers.start();
    await sleep(clock, lengths.lookupsMs, signal);
  }

  enter("warm-up");
  instances.begin();
  await warmUp(fleet, instances, lengths.warmUpMsMax, signal);
  readers.start();
  await sleep(clock, lengths.settleMs, signal);
  // A broken build that shows in the phase of faults has no need of the others.
  const isWhole = options.broken?.until !== "faults";
  if (isWhole) await quiet();

  enter("faults");
  prepared?.faultsBegin();
  instances.startChanges();
  await strike(parts);
  instances.stopChanges();
  if (!isWhole) return enter("end");

  enter("healed");
  const states = createStates({ fleet, recorder, services: instances.services, clock, random });
  try {
    await settle({
      states,
      instances,
      recorder,
      settings: fleet.settings,
      everyMs: lengths.statesEveryMs,
      clock,
      say,
      signal,
    });
  } finally {
    await states.close();
  }
  await quiet();
  enter("end");
  await sleep(clock, lengths.endMs, signal);
  await readers.stop();
  signal.throwIfAborted();
}

/** Does the faults, and lets the calm that there may be after them pass, which is part of what was asked for. */
async function strike({ options, fleet, recorder, schedule }: Parts): Promise<void> {
  const { clock, say, signal } = options;
  const done = new AbortController();
  const calm = sleep(clock, minutesOf(options) * 60_000, AbortSignal.any([signal, done.signal]));
  const onFault = (event: FaultEvent) => {
    recorder.record(event);
    say(`${event.to === undefined ? "begun" : "undone"}: ${event.name} on ${event.target}`);
  };
  try {
    await runFaults({ fleet, faults: FAULTS, clock, now: () => recorder.at(), onFault }, schedule, signal);
    await calm;
  } finally {
    done.abort();
  }
}
