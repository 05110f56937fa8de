import type { Cancel, Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Answering } from "../http/answering.ts";
import type { Held } from "../memory/held.ts";
import type { ResolverLog } from "../log.ts";
import type { Lookup } from "../lookup/lookups.ts";
import type { Place } from "../memory/near.ts";
import type { Question } from "../http/question.ts";
import { heartbeat, retryLine, sameToFilters, serviceEvent, statusEvent, unknownEvent } from "./events.ts";
import type { Seat } from "./seats.ts";
import type { Sight } from "./sight.ts";

/** A stream's life, which also bounds what a token that has been withdrawn still shows; up to JITTER less. */
const STREAM_MS_MAX = 300_000;
/** Silence that proxies and clients put up with; up to JITTER less. */
const HEARTBEAT_MS_MAX = 15_000;
/** Thousands who began together neither end together nor beat together. */
const JITTER = 0.2;
/** Up to when a client comes back after its connection broke, which may have hit everyone at once. */
const RETRY_BROKEN_MS_MAX = 5000;
/** The same after a stream has ended by itself, which JITTER has spread. */
const RETRY_ENDED_MS_MAX = 1000;

/** What a reader knows, or will as soon as it reads. */
type Latest = { readonly type: "service"; readonly held: Held } | { readonly type: "unknown" };

export interface StreamOptions {
  readonly question: Question;
  readonly place: Place | undefined;
  readonly answering: Pick<Answering, "body">;
  /** What the first look found. */
  readonly first: Exclude<Lookup, { type: "nothing" }>;
  /** The revision of the last event that the client has seen. */
  readonly lastEventId: number | undefined;
  readonly sight: Sight;
  readonly seat: Seat;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ResolverLog;
  readonly closing: () => boolean;
}

/**
 * Server-Sent Events (WHATWG HTML, 9.2) of one service: what it is now, and again whenever what the filters let through
 * has changed. Nothing queues up: while the reader does not read, only what is latest is remembered.
 */
export function createEventStream(options: StreamOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { question, place, answering, first, lastEventId, sight, seat, clock, random, log, closing } = options;
  const { service, filters } = question;
  const jittered = (msMax: number) => msMax * (1 - random() * JITTER);
  const endAt = clock.monotonic() + jittered(STREAM_MS_MAX);
  let latest: Latest | undefined;
  let changed = false;
  let idSent = lastEventId;
  let status = { stale: false, ageMs: 0 };
  let staleSent = false;
  let beatAt = 0;
  let ended = false;
  let cancelTimer: Cancel = () => undefined;

  function note(lookup: Lookup): void {
    if (lookup.type === "nothing") {
      status = { ...status, stale: true };
    } else if (lookup.type === "unknown") {
      if (latest?.type !== "unknown") changed = true;
      latest = lookup;
      status = { stale: false, ageMs: 0 };
    } else {
      const { held, stale, ageMs } = lookup;
      if (latest?.type !== "service") changed = true;
      // Compared also for a reader who is behind, so that no older snapshot has to be kept for it.
      else if (latest.held !== held) changed ||= !sameToFilters(latest.held, held, filters, place);
      latest = { type: "service", held };
      status = { stale, ageMs };
    }
  }

  function send(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): void {
    const now = clock.monotonic();
    const parts: Uint8Array<ArrayBuffer>[] = [];
    if (status.stale !== staleSent) parts.push(statusEvent(status));
    staleSent = status.stale;
    const revision = latest?.type === "service" ? latest.held.snapshot.revision : undefined;
    if (changed && latest?.type === "service") {
      parts.push(...serviceEvent(latest.held.snapshot.revision, answering.body(latest.held, question, place)));
    } else if (changed) parts.push(unknownEvent(service));
    else if (now >= beatAt) parts.push(heartbeat(revision === idSent ? undefined : revision));
    if (parts.length === 0) return;
    changed = false;
    idSent = revision ?? idSent;
    beatAt = now + jittered(HEARTBEAT_MS_MAX);
    for (const part of parts) controller.enqueue(part);
  }

  function leave(): void {
    ended = true;
    cancelTimer();
    seat.leave();
  }

  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      start(controller) {
        function seen(lookup: Lookup | undefined): void {
          if (ended) return;
          seat.stay();
          if (clock.monotonic() >= endAt || closing()) {
            leave();
            controller.enqueue(retryLine(random() * RETRY_ENDED_MS_MAX));
            controller.close();
            return;
          }
          if (lookup) note(lookup);
          if ((controller.desiredSize ?? 0) > 0) send(controller);
          cancelTimer = clock.after(Math.min(sight.nextMs(), endAt - clock.monotonic()), look);
        }

        function look(): void {
          const looked = sight.look();
          if (looked instanceof Promise) looked.then(guarded, broke);
          else guarded(looked);
        }

        function guarded(lookup: Lookup | undefined): void {
          try {
            seen(lookup);
          } catch (error) {
            broke(error);
          }
        }

        /** A defect of our own. The client connects again. */
        function broke(error: unknown): void {
          log.error({ service, reason: messageOf(error) }, "a stream broke");
          leave();
          controller.error(error);
        }

        controller.enqueue(retryLine(random() * RETRY_BROKEN_MS_MAX));
        note(first);
        if (first.type === "found" && first.held.snapshot.revision === lastEventId) changed = false;
        send(controller);
        cancelTimer = clock.after(sight.nextMs(), look);
      },
      cancel: leave,
    },
    // Counted in chunks: at the first one that the reader has not taken, writing stops.
    { highWaterMark: 1 },
  );
}
