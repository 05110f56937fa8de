import type { FaultEvent, HistoryEvent, ReadEvent } from "../history/event.ts";

/** Instances of a read that are named one by one. */
const NAMED_MAX = 8;

/** Seconds since the run began. */
export function secondsOf(atMs: number): string {
  return (atMs / 1000).toFixed(3);
}

/** When it was; an operation by its beginning. */
export function startOf(event: HistoryEvent): number {
  if ("at" in event) return event.at;
  return "from" in event ? event.from : 0;
}

export function endOf(event: HistoryEvent): number {
  if ("at" in event) return event.at;
  // A fault without an end was under way until the end.
  return "from" in event ? (event.to ?? Infinity) : 0;
}

/** One line for people: when, and what. */
export function describeEvent(event: HistoryEvent): string {
  const from = secondsOf(startOf(event));
  const times = "from" in event ? `${from}–${event.to === undefined ? "…" : secondsOf(event.to)} s` : `${from} s`;
  return `${times}  ${contentOf(event)}`;
}

function contentOf(event: HistoryEvent): string {
  switch (event.type) {
    case "run":
      return `run of seed ${event.seed}`;
    case "phase":
      return `phase: ${event.phase}`;
    case "fault":
      return `fault ${event.id}: ${faultOf(event)}`;
    case "life":
      return `${event.process} (life ${event.life}, pid ${event.pid}) ${event.change}`;
    case "instance":
      return `instance ${event.service}/${event.instance} ${event.change}`;
    case "write":
      return `${event.agent}: ${event.operation} ${event.service}/${event.instance} (generation ${event.generation}): ${event.status ?? `outcome unknown: ${event.error ?? "no answer"}`}`;
    case "read":
      return readOf(event);
    case "commit":
      return `commit in ${event.server}: ${event.namespace} epoch ${event.epoch}, revision ${event.revision}`;
    case "sample":
      return `${event.process} (life ${event.life}): ${event.rssMb.toFixed(0)} MB, ${event.handles} handles, ${event.sockets} sockets, ${event.logBytes} bytes logged`;
    case "etcd":
      return `${event.process} (life ${event.life}): ${record(event.requests)}${event.leases === undefined ? "" : `; ${event.leases} leases`}${event.watchers === undefined ? "" : `, ${event.watchers} watchers`}${event.streams === undefined ? "" : `, ${event.streams} streams`}`;
    case "stall":
      return "the recorder stood still";
    case "state":
      return `${event.of} has ${Object.keys(event.services).length} services`;
  }
}

export function faultOf({ name, target, detail }: FaultEvent): string {
  const told = record(detail);
  return `${name} on ${target}${told === "" ? "" : ` (${told})`}`;
}

function readOf(event: ReadEvent): string {
  const { reader, by, resolver, life, service, status, error, epoch, revision, instances, ageMs, stale, source } =
    event;
  const asked = `${reader} (${by}) asked ${resolver} (life ${life}) for ${service}: `;
  const parts = [
    status === undefined ? undefined : String(status),
    error,
    epoch === undefined ? undefined : `epoch ${epoch}, revision ${revision}`,
    instances && named(instances),
    ageMs === undefined ? undefined : `age ${Math.round(ageMs)} ms${stale ? ", stale" : ""}`,
    source,
  ];
  return asked + (parts.filter((part) => part !== undefined).join("; ") || "no answer");
}

function named(instances: NonNullable<ReadEvent["instances"]>): string {
  const all = Object.entries(instances);
  if (all.length === 0) return "no instances";
  const shown = all.slice(0, NAMED_MAX).map(([id, { status, generation }]) => `${id} ${status} g${generation}`);
  const more = all.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function record(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
}
