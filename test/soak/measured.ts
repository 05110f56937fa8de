import type { EtcdSampleEvent, HistoryEvent, SampleEvent } from "../chaos/history/event.ts";
import { growthOf, type Point } from "../chaos/report/series.ts";
import { QUANTITIES, type QuantityName } from "./quantities.ts";
import type { Reading } from "./sampler.ts";
import type { Measured } from "./verdict.ts";

/**
 * What each process used, from a history and what was read beside it; in the order of the quantities, then by name. Rates
 * are taken over `rateMs`: most seconds have nothing logged in them.
 */
export function measuredOf(
  history: readonly HistoryEvent[],
  readings: readonly Reading[],
  rateMs: number,
): readonly Measured[] {
  const points = new Map<string, Point[]>();
  /** The last that each member of etcd has told. */
  const members = new Map<string, EtcdSampleEvent>();
  const etcdSamples = history.filter((event) => event.type === "etcd");
  const memberCount = new Set(etcdSamples.map(({ process }) => process)).size;

  function add(quantity: QuantityName, process: string, at: number, value: number | undefined): void {
    if (value === undefined) return;
    const key = `${quantity} ${process}`;
    const own = points.get(key);
    if (own) own.push([at, value]);
    else points.set(key, [[at, value]]);
  }

  function addSample({ process, at, rssMb, handles, sockets, logBytes }: SampleEvent): void {
    add("rss", process, at, rssMb);
    add("handles", process, at, handles);
    add("sockets", process, at, sockets);
    add("logs", process, at, logBytes);
  }

  /** Leases are the cluster's, whoever tells them; watchers and streams are each member's, and move from one to another. */
  function addEtcd(sample: EtcdSampleEvent): void {
    const { process, at, leases } = sample;
    add("leases", process, at, leases);
    members.set(process, sample);
    if (members.size < memberCount) return;
    for (const quantity of ["watchers", "streams"] as const) {
      add(quantity, "etcd", at, sumOf([...members.values()].map((member) => member[quantity])));
    }
  }

  for (const event of history) {
    if (event.type === "sample") addSample(event);
    if (event.type === "etcd") addEtcd(event);
  }
  for (const { quantity, process, at, value } of readings) add(quantity, process, at, value);

  const names = Object.keys(QUANTITIES) as QuantityName[];
  return names.flatMap((quantity) =>
    [...points]
      .filter(([key]) => key.startsWith(`${quantity} `))
      .map(([key, own]) => ({
        process: key.slice(quantity.length + 1),
        quantity,
        points: quantity === "logs" ? growthOf(lastOfEach(own, rateMs)) : own,
      }))
      .toSorted((a, b) => a.process.localeCompare(b.process)),
  );
}

/** Undefined where one of them is not told. */
function sumOf(values: readonly (number | undefined)[]): number | undefined {
  return values.reduce<number | undefined>(
    (sum, value) => (sum === undefined || value === undefined ? undefined : sum + value),
    0,
  );
}

function lastOfEach(points: readonly Point[], everyMs: number): readonly Point[] {
  const last = new Map(points.map((point) => [Math.floor(point[0] / everyMs), point]));
  return [...last.values()];
}
