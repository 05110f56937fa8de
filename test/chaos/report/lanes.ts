import type { FaultEvent, HistoryEvent, LifeEvent, ReadEvent } from "../history/event.ts";
import { describeEvent } from "../runner/describe.ts";
import { faultsOf } from "../runner/tell.ts";
import { barLane, chartLane, rowLane, type Bar, type Lane, type TimeAxis } from "./chart.ts";
import { bucketed, bucketMsOf, grouped, groupedByName, growthOf, rateOf, type Point, type Series } from "./series.ts";

/** Ages are drawn up to ten minutes: a clock that jumped by hours would flatten all the others. */
const AGE_MS_MAX = 600_000;
/** Methods that are drawn; the rest are asked for once or twice. */
const METHODS_MAX = 7;
/** A process that is not sampled for so long is drawn as gone. */
const SAMPLE_GAP_MS = 4000;

type OfType<T extends HistoryEvent["type"]> = Extract<HistoryEvent, { type: T }>;

/** The strips of the timeline from the top: what was done, what readers saw, what it cost. */
export function lanesOf(history: readonly HistoryEvent[], axis: TimeAxis): readonly Lane[] {
  const of = <T extends HistoryEvent["type"]>(type: T) =>
    history.filter((event): event is OfType<T> => event.type === type);
  const bucketMs = bucketMsOf(axis.fromMs, axis.toMs);
  const rate = (times: readonly number[]) => rateOf(times, axis.fromMs, axis.toMs, Math.max(1000, bucketMs));
  const rates = <T>(items: readonly T[], nameOf: (item: T) => string, timeOf: (item: T) => number): Series[] =>
    groupedByName(items, nameOf).map(([name, own]) => ({ name, points: rate(own.map(timeOf)) }));

  const reads = of("read");
  const failed = reads.filter(({ status, by, error }) => (by === "http" ? status !== 200 : error !== undefined));
  const samples = of("sample");
  const byProcess = groupedByName(samples, ({ process }) => process);
  const sampled = (valueOf: (sample: OfType<"sample">) => number): Series[] =>
    byProcess.map(([name, own]) => ({ name, points: own.map((sample) => [sample.at, valueOf(sample)]) }));

  return [
    barLane(
      "faults",
      faultsOf(history).map((fault) => faultBar(fault, axis)),
      axis,
    ),
    rowLane("processes gone or paused", processRows(of("life"), axis), axis),
    chartLane({
      title: "age of answers",
      series: ageSeries(reads, bucketMs),
      axis,
      height: 110,
      scale: "log",
      max: AGE_MS_MAX,
      format: duration,
      gapMs: Math.max(3000, 3 * bucketMs),
    }),
    chartLane({ title: "stale answers, %", series: staleSeries(reads, bucketMs), axis, max: 100, shape: "area" }),
    chartLane({
      title: "not answered 200, a second",
      series: rates(
        failed,
        (read) => `${read.resolver}: ${read.status ?? "no answer"}`,
        (read) => read.to,
      ),
      axis,
    }),
    chartLane({
      title: "reads a second",
      series: rates(
        reads,
        ({ by }) => by,
        (read) => read.to,
      ),
      axis,
    }),
    chartLane({
      title: "writes a second",
      series: rates(
        of("write"),
        ({ status }) => outcomeOf(status),
        (write) => write.to,
      ),
      axis,
    }),
    chartLane({
      title: "commits a second",
      series: rates(
        of("commit"),
        ({ server }) => server,
        (commit) => commit.at,
      ),
      axis,
    }),
    rowLane("epochs", epochRows(of("commit"), axis), axis),
    chartLane({
      title: "memory, MB",
      series: sampled(({ rssMb }) => rssMb),
      axis,
      gapMs: SAMPLE_GAP_MS,
    }),
    chartLane({
      title: "open handles",
      series: sampled(({ handles }) => handles),
      axis,
      gapMs: SAMPLE_GAP_MS,
    }),
    chartLane({
      title: "requests to etcd, a second",
      series: etcdSeries(of("etcd"), bucketMs),
      axis,
      gapMs: SAMPLE_GAP_MS,
    }),
  ];
}

function faultBar(fault: FaultEvent, axis: TimeAxis): Bar {
  const { id, from, to = axis.toMs } = fault;
  return {
    label: `${fault.name} ${fault.target}`,
    told: `${id}: ${describeEvent(fault)}`,
    fromMs: from,
    toMs: to,
    className: "fault",
  };
}

/** A bar from where a process stops answering to where it can be asked again. */
function processRows(lives: readonly LifeEvent[], axis: TimeAxis) {
  return groupedByName(lives, ({ process }) => process).map(([name, events]) => {
    const bars: Bar[] = [];
    let since: LifeEvent | undefined;
    const close = (toMs: number) => {
      if (!since) return;
      const className = since.change === "paused" ? "paused" : "gone";
      bars.push({
        label: name,
        told: `${describeEvent(since)} until ${duration(toMs)}`,
        fromMs: since.at,
        toMs,
        className,
      });
    };
    for (const event of events) {
      if (event.change === "started") continue;
      close(event.at);
      since = event.change === "ready" || event.change === "resumed" ? undefined : event;
    }
    close(axis.toMs);
    return { name, bars };
  });
}

function ageSeries(reads: readonly ReadEvent[], bucketMs: number): Series[] {
  return groupedByName(answersOf(reads), ({ resolver }) => resolver).map(([name, own]) => ({
    name: `${name}, highest`,
    points: bucketed(
      own.map(({ to, ageMs }): Point => [to, ageMs ?? 0]),
      bucketMs,
      Math.max,
    ),
  }));
}

function staleSeries(reads: readonly ReadEvent[], bucketMs: number): Series[] {
  return groupedByName(answersOf(reads), ({ resolver }) => resolver).map(([name, own]) => {
    const counts = new Map(
      bucketed(
        own.map(({ to }): Point => [to, 1]),
        bucketMs,
        (sum) => sum + 1,
      ),
    );
    const stale = bucketed(
      own.map(({ to, stale: is }): Point => [to, is ? 1 : 0]),
      bucketMs,
      (sum, value) => sum + value,
    );
    return { name, points: stale.map(([at, sum]): Point => [at, (100 * sum) / (counts.get(at) ?? 1)]) };
  });
}

/** What resolvers answered themselves, and no client remembered. */
function answersOf(reads: readonly ReadEvent[]): readonly ReadEvent[] {
  return reads.filter(({ by, ageMs }) => by === "http" && ageMs !== undefined);
}

function outcomeOf(status: number | undefined): string {
  if (status === undefined) return "unknown";
  return status < 300 ? "done" : `refused with ${status}`;
}

/** Of each Redis, a bar for each epoch that was written to it, in turn light and dark. */
function epochRows(commits: readonly OfType<"commit">[], axis: TimeAxis) {
  return groupedByName(commits, ({ server, namespace }) => `${server} ${namespace}`).map(([name, own]) => {
    const bars: Bar[] = [];
    let first = own[0];
    const close = (toMs: number) => {
      if (!first) return;
      const { epoch, at } = first;
      const className = bars.length % 2 === 0 ? "epoch" : "epoch other";
      bars.push({ label: String(epoch), told: `epoch ${epoch} from ${duration(at)}`, fromMs: at, toMs, className });
    };
    for (const commit of own) {
      if (!first || commit.epoch === first.epoch) continue;
      close(commit.at);
      first = commit;
    }
    close(axis.toMs);
    return { name, bars };
  });
}

/** Over all members, by method, those asked for most. */
function etcdSeries(samples: readonly OfType<"etcd">[], bucketMs: number): Series[] {
  const growth = new Map<string, Point[]>();
  for (const own of grouped(samples, ({ process, life }) => `${process} ${life}`).values()) {
    const methods = new Set(own.flatMap(({ requests }) => Object.keys(requests)));
    for (const method of methods) {
      const points = growthOf(own.map(({ at, requests }): Point => [at, requests[method] ?? 0]));
      growth.set(method, [...(growth.get(method) ?? []), ...points]);
    }
  }
  const wide = Math.max(1000, bucketMs);
  return [...growth]
    .map(([name, points]) => ({ name, points: bucketed(points, wide, (sum, value) => sum + value) }))
    .map((series) => ({ series, sum: series.points.reduce((sum, [, value]) => sum + value, 0) }))
    .filter(({ sum }) => sum > 0)
    .toSorted((a, b) => b.sum - a.sum)
    .slice(0, METHODS_MAX)
    .map(({ series }) => series);
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Number((ms / 60_000).toPrecision(3))} min`;
}
