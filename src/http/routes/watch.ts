import type { Clock } from "../../../kernel/clock.ts";
import { FingerpostError } from "../../../kernel/errors.ts";
import { failure } from "../answer.ts";
import { lookupsOf, targetOf, type ResolverContext, type RouteOptions } from "../context.ts";
import type { ResolverLog } from "../../log.ts";
import type { Lookup } from "../../lookup/lookups.ts";
import type { Place } from "../../memory/near.ts";
import { filtersOf, OPERATIONS, WAIT_MS_DEFAULT } from "../operations.ts";
import { readQuery } from "../query.ts";
import { createQuestion, type Question } from "../question.ts";
import { answersPoll, poll } from "../../watch/poll.ts";
import { createSeats, type Seat } from "../../watch/seats.ts";
import { createSight } from "../../watch/sight.ts";
import { createEventStream } from "../../watch/stream.ts";

/** Turned away, a caller may find another isolate, or a seat that has been left. Up to twice as long, at random. */
const FULL_RETRY_SECONDS = 2;

const EVENT_STREAM = "text/event-stream";
// Whoever compresses or buffers on the way would hold events back.
const STREAM_HEADERS = {
  "Content-Type": EVENT_STREAM,
  "Cache-Control": "no-store, no-transform",
  "X-Accel-Buffering": "no",
};

export interface WatchOptions extends RouteOptions {
  readonly clock: Clock;
  readonly freshMs: number;
  readonly log: ResolverLog;
  readonly watchersMax: number;
  /** Whether the process is about to end: streams then end, and long polls are answered, at their next look. */
  readonly closing: () => boolean;
}

interface Watched {
  /** The name that seats are counted by. */
  readonly caller: string;
  readonly question: Question;
  readonly place: Place | undefined;
  readonly revision: number | undefined;
  readonly waitMs: number;
}

/** `GET /v1/services/{service}/watch`: its changes, as Server-Sent Events or by long poll. */
export function watchRoute(options: WatchOptions) {
  const { clock, random } = options;
  const seats = createSeats(clock, options.watchersMax);

  function takeSeat({ caller }: Watched): Seat {
    const seat = seats.take(caller);
    if (seat) return seat;
    throw new FingerpostError("unavailable", "All watchers of this resolver are taken that this caller may have.", {
      retryAfterSeconds: FULL_RETRY_SECONDS + Math.floor(random() * (FULL_RETRY_SECONDS + 1)),
    });
  }

  // Only the first look is one that a `Cache-Control: no-cache` speaks of, and every browser's EventSource sends it.
  const sightOf = ({ question: { namespace, service } }: Watched, { env }: ResolverContext) =>
    createSight({ ...options, lookups: lookupsOf(namespace, options), service, background: env.background });

  function stream(context: ResolverContext, watched: Watched, first: Lookup): Response {
    const { question, place, revision } = watched;
    if (first.type === "nothing") throw failure(first, question.service);
    if (context.req.raw.method === "HEAD") return new Response(null, { headers: STREAM_HEADERS });
    const seat = takeSeat(watched);
    const sight = sightOf(watched, context);
    const lastEventId = revisionOf(context.req.header("last-event-id")) ?? revision;
    const body = createEventStream({ ...options, question, place, first, lastEventId, sight, seat });
    return new Response(body, { headers: STREAM_HEADERS });
  }

  async function longPoll(context: ResolverContext, watched: Watched, first: Lookup): Promise<Response> {
    const { question, revision: after, waitMs } = watched;
    const { raw } = context.req;
    const respond = (lookup: Lookup) =>
      options.answering.respond(question, undefined, lookup, raw, context.env.platform);
    if (after === undefined || answersPoll(first, after)) return respond(first);
    const sight = sightOf(watched, context);
    const seat = takeSeat(watched);
    return respond(await poll({ ...options, first, sight, seat, after, waitMs, signal: raw.signal }));
  }

  return (context: ResolverContext): Promise<Response> | Response => {
    const target = targetOf(context, options);
    const query = readQuery(context.req.url, OPERATIONS.watch.parameters);
    const { revision, wait = WAIT_MS_DEFAULT } = query;
    const question = createQuestion("service", target, filtersOf(query));
    const place = options.answering.placeOf(question.filters, context.env.platform);
    const watched = { caller: target.caller.name, question, place, revision, waitMs: wait };
    const streams = asksForStream(context.req.header("accept"), revision !== undefined || query.wait !== undefined);
    if (streams && query.wait !== undefined) {
      throw new FingerpostError("invalid_argument", "The query is not valid.", {
        violations: [{ parameter: "wait", detail: `is for long poll: leave it out, or ${EVENT_STREAM} of Accept` }],
      });
    }
    const answerWith = (first: Lookup) =>
      streams ? stream(context, watched, first) : longPoll(context, watched, first);
    const first = target.lookups.lookup(target.service, context.env.background);
    return first instanceof Promise ? first.then(answerWith) : answerWith(first);
  };
}

/** Accept decides where it names one of the two forms, and otherwise whether the query is one of a long poll. */
function asksForStream(accept: string | undefined, polls: boolean): boolean {
  const types = (accept ?? "").toLowerCase();
  if (types.includes(EVENT_STREAM)) return true;
  return !polls && !types.includes("json");
}

/** An id that is none of ours is as good as none. */
function revisionOf(lastEventId: string | undefined): number | undefined {
  return lastEventId !== undefined && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : undefined;
}
