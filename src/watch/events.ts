import { toProblem } from "../../contract/problem.ts";
import { WATCH_EVENTS, type WatchStatus } from "../../contract/watch.ts";
import { failure } from "../answer.ts";
import { createBoundedMap } from "../bounded-map.ts";
import type { Held } from "../held.ts";
import type { Place } from "../near.ts";
import { select, type Filters } from "../selection.ts";

/** Events kept for those who watch the same: a change is serialised once, and not for each of them. */
const EVENTS_MAX = 256;
const EVENT_BYTES_MAX = 4 * 1024 * 1024;

const encoder = new TextEncoder();

/** JSON has no line breaks of its own, so one `data` line is enough. */
const event = (name: string, data: string, id = "") => `${id}event: ${name}\ndata: ${data}\n\n`;

export function statusEvent(status: WatchStatus): Uint8Array<ArrayBuffer> {
  return encoder.encode(event(WATCH_EVENTS.status, JSON.stringify(status)));
}

export function unknownEvent(service: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(event(WATCH_EVENTS.unknown, JSON.stringify(toProblem(failure({ type: "unknown" }, service)))));
}

/** How long a client is to wait before it connects again. */
export function retryLine(ms: number): Uint8Array<ArrayBuffer> {
  return encoder.encode(`retry: ${Math.round(ms)}\n\n`);
}

/** A comment, which no client sees. With a revision it moves on what the client will give as Last-Event-ID. */
export function heartbeat(revision: number | undefined): Uint8Array<ArrayBuffer> {
  return encoder.encode(revision === undefined ? ":\n\n" : `id: ${revision}\n:\n\n`);
}

/** The event of a snapshot's instances that match. `query` stands for the filters: equal text, equal filters. */
export type ServiceEvents = (
  held: Held,
  filters: Filters,
  query: string,
  place: Place | undefined,
) => Uint8Array<ArrayBuffer>;

export function createServiceEvents(): ServiceEvents {
  const kept = createBoundedMap<string, { readonly held: Held; readonly bytes: Uint8Array<ArrayBuffer> }>({
    entriesMax: EVENTS_MAX,
    weightMax: EVENT_BYTES_MAX,
    weightOf: ({ bytes }) => bytes.byteLength,
  });
  return (held, filters, query, place) => {
    const { namespace, service, revision, instances } = held.snapshot;
    const key = `${namespace}/${service}?${query}@${place?.key ?? ""}`;
    const known = kept.get(key);
    if (known?.held === held) return known.bytes;
    const data = held.body(select(instances, filters, place));
    const bytes = encoder.encode(event(WATCH_EVENTS.service, data, `id: ${revision}\n`));
    kept.set(key, { held, bytes });
    return bytes;
  };
}

/** Whether two snapshots of a service are the same to whoever watches with these filters. */
export function sameToFilters(a: Held, b: Held, filters: Filters, place?: Place): boolean {
  const before = select(a.snapshot.instances, filters, place);
  const after = select(b.snapshot.instances, filters, place);
  return (
    before.length === after.length &&
    before.every((instance, index) => {
      const other = after[index];
      return other !== undefined && a.text(instance) === b.text(other);
    })
  );
}
