import { toProblem } from "../../contract/problem.ts";
import { WATCH_EVENTS, type WatchStatus } from "../../contract/watch.ts";
import { failure } from "../http/answer.ts";
import type { Held } from "../memory/held.ts";
import type { Place } from "../memory/near.ts";
import { select, type Filters } from "../memory/selection.ts";

const encoder = new TextEncoder();
const END = encoder.encode("\n\n");

/** JSON has no line breaks of its own, so one `data` line is enough. */
const event = (name: string, data: object) => encoder.encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);

export function statusEvent(status: WatchStatus): Uint8Array<ArrayBuffer> {
  return event(WATCH_EVENTS.status, status);
}

export function unknownEvent(service: string): Uint8Array<ArrayBuffer> {
  return event(WATCH_EVENTS.unknown, toProblem(failure({ type: "unknown" }, service)));
}

/** How long a client is to wait before it connects again. */
export function retryLine(ms: number): Uint8Array<ArrayBuffer> {
  return encoder.encode(`retry: ${Math.round(ms)}\n\n`);
}

/** A comment, which no client sees. With a revision it moves on what the client will give as Last-Event-ID. */
export function heartbeat(revision: number | undefined): Uint8Array<ArrayBuffer> {
  return encoder.encode(revision === undefined ? ":\n\n" : `id: ${revision}\n:\n\n`);
}

/** The event of an answer, in parts: `body` is shared by all who are sent it, and not copied for each. */
export function serviceEvent(revision: number, body: Uint8Array<ArrayBuffer>): readonly Uint8Array<ArrayBuffer>[] {
  return [encoder.encode(`id: ${revision}\nevent: ${WATCH_EVENTS.service}\ndata: `), body, END];
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
