import type { EtcdSampleEvent, Phase, ProcessName, SampleEvent } from "../history/event.ts";
import { defineGuarantee, type Accuse } from "./define.ts";
import type { PhaseSpan, View } from "./view.ts";
import { second } from "./words.ts";

type Sample = SampleEvent | EtcdSampleEvent;

/** What must return to where it was, how it is read, and by how much it may be above that. */
interface Measure<T extends Sample> {
  readonly name: string;
  readonly of: (sample: T) => number | undefined;
  /** The most that is allowed, where it was at `before`. */
  readonly most: (before: number) => number;
}

/** Heaps grow until a collection is worth its while; a leak that matters grows with each request and each fault. */
export const RSS_FACTOR = 1.25;
export const RSS_SLACK_MB = 64;
/** Connections that are kept for a while after use, one or two to each neighbour. */
export const HANDLES_FACTOR = 1.25;
export const HANDLES_SLACK = 16;
/** Of each registrar: a lease of a process before it that has not ended, and one that is empty and kept a minute for more. */
export const LEASES_EACH = 2;
/** Bytes a second of a process of ours while nothing is wrong: a line now and then, and none for a lookup or a renewal. */
export const QUIET_LOG_BYTES_PER_SECOND = 1000;
/** And while everything is: some lines for each change of state, and none for each call that fails. */
export const FAULTS_LOG_BYTES_PER_SECOND = 2000;
/** A shorter time tells no rate. */
const LOG_SECONDS_MIN = 2;

const metric = (name: string) => (sample: SampleEvent) => sample.metrics?.[name];

const OF_PROCESSES: readonly Measure<SampleEvent>[] = [
  { name: "MB of memory", of: ({ rssMb }) => rssMb, most: (before) => before * RSS_FACTOR + RSS_SLACK_MB },
  { name: "handles", of: ({ handles }) => handles, most: (before) => before * HANDLES_FACTOR + HANDLES_SLACK },
  { name: "sockets", of: ({ sockets }) => sockets, most: (before) => before * HANDLES_FACTOR + HANDLES_SLACK },
  { name: "lease streams", of: metric("fingerpost_lease_streams"), most: (before) => before + 1 },
  { name: "leases", of: metric("fingerpost_leases"), most: (before) => before + LEASES_EACH },
];

function measuresOfEtcd({ settings: { agents, publishers } }: View): readonly Measure<EtcdSampleEvent>[] {
  const registrars = agents + publishers;
  return [
    { name: "leases", of: ({ leases }) => leases, most: (before) => before + LEASES_EACH * registrars },
    { name: "watchers", of: ({ watchers }) => watchers, most: (before) => before + registrars },
    // A registrar that has moved here brings its watch and its renewals along.
    { name: "streams", of: ({ streams }) => streams, most: (before) => before + 2 * registrars },
  ];
}

export const bounded = defineGuarantee(
  "bounded",
  "memory, sockets, streams, leases and log volume return to where they were",
  (view, accuse) => {
    let judged = 0;
    const isQuiet = ({ phase }: PhaseSpan) => phase === "idle" || phase === "lookups";
    const faultsAt = view.phases.findIndex(({ phase }) => phase === "faults");
    const before = view.phases.slice(0, Math.max(0, faultsAt)).filter(isQuiet);
    const after = view.phases.slice(faultsAt + 1).filter(isQuiet);
    for (const samples of view.samples.values()) judged += judgeReturn(samples, OF_PROCESSES, before, after, accuse);
    const measures = measuresOfEtcd(view);
    for (const samples of view.etcdSamples.values()) judged += judgeReturn(samples, measures, before, after, accuse);
    for (const [process, samples] of view.samples) {
      if (!isOurs(process)) continue;
      for (const phase of view.phases) judged += judgeLog(samples, phase, accuse);
    }
    return judged;
  },
);

function samplesIn<T extends Sample>(samples: readonly T[], phases: readonly PhaseSpan[]): readonly T[] {
  return samples.filter(({ at }) => phases.some(({ from, to }) => at >= from && at <= to));
}

/** The least of the end against the most of the beginning: what has leaked is there all the time. */
function judgeReturn<T extends Sample>(
  samples: readonly T[],
  measures: readonly Measure<T>[],
  before: readonly PhaseSpan[],
  after: readonly PhaseSpan[],
  accuse: Accuse,
): number {
  let judged = 0;
  const [earlier, later] = [samplesIn(samples, before), samplesIn(samples, after)];
  for (const { name, of, most } of measures) {
    const by = (sample: T) => of(sample) ?? 0;
    const known = (sample: T) => of(sample) !== undefined;
    const highest = earlier.filter(known).toSorted((a, b) => by(b) - by(a))[0];
    const lowest = later.filter(known).toSorted((a, b) => by(a) - by(b))[0];
    if (!highest || !lowest) continue;
    judged++;
    if (by(lowest) <= most(by(highest))) continue;
    accuse(
      `${lowest.process} has ${by(lowest)} ${name} at ${second(lowest.at)} and had ${by(highest)} at ` +
        `${second(highest.at)}, before the faults; at most ${Math.round(most(by(highest)))} are allowed.`,
      [highest, lowest],
    );
  }
  return judged;
}

/** Redis and etcd log as they like. */
const isOurs = (process: ProcessName) => !/^(etcd|redis|replica)/.test(process);

const LOG_LIMITS: Partial<Record<Phase, number>> = {
  idle: QUIET_LOG_BYTES_PER_SECOND,
  lookups: QUIET_LOG_BYTES_PER_SECOND,
  faults: FAULTS_LOG_BYTES_PER_SECOND,
};

function judgeLog(samples: readonly SampleEvent[], phase: PhaseSpan, accuse: Accuse): number {
  const most = LOG_LIMITS[phase.phase];
  const own = samplesIn(samples, [phase]);
  const [first, last] = [own[0], own.at(-1)];
  if (most === undefined || !first || !last) return 0;
  const seconds = (last.at - first.at) / 1000;
  if (seconds < LOG_SECONDS_MIN) return 0;
  const bytesPerSecond = (last.logBytes - first.logBytes) / seconds;
  if (bytesPerSecond > most) {
    accuse(
      `${last.process} logged ${Math.round(bytesPerSecond)} bytes a second from ${second(first.at)} to ` +
        `${second(last.at)}, in the phase "${phase.phase}"; at most ${most} are allowed.`,
      [first, last],
    );
  }
  return 1;
}
