import { failure, nothingKnown, type Answer } from "./answer.ts";
import type { Held } from "../memory/held.ts";
import type { Lookup, Lookups } from "../lookup/lookups.ts";
import { NEAR_AUTO, type Place, type Places } from "../memory/near.ts";
import type { Platform } from "../platform.ts";
import type { Question } from "./question.ts";
import type { Filters } from "../memory/selection.ts";
import type { Selections } from "../memory/selections.ts";

/** Answers questions. Every answer to one is made here, so that it is the same however the question was read. */
export interface Answering {
  /**
   * Looks up, and answers at once from memory where it may. `key` is that of a pick by key. Throws, or rejects with,
   * `not_found` and `unavailable`.
   */
  answer(
    question: Question,
    key: string | undefined,
    lookups: Lookups,
    request: Request,
    platform: Platform,
  ): Response | Promise<Response>;
  /** The answer once it has been looked up. Throws `not_found` and `unavailable`. */
  respond(question: Question, key: string | undefined, lookup: Lookup, request: Request, platform: Platform): Response;
  /** The body of that answer. It is shared, and must not be changed. */
  body(held: Held, question: Question, place: Place | undefined): Uint8Array<ArrayBuffer>;
  /** What `near` means to a request. */
  placeOf(filters: Filters, platform: Platform): Place | undefined;
}

export interface AnsweringOptions {
  readonly answer: Answer;
  readonly places: Places;
  readonly selections: Selections;
}

export function createAnswering({ answer, places, selections }: AnsweringOptions): Answering {
  const placeOf: Answering["placeOf"] = ({ near }, platform) =>
    near === undefined ? undefined : places.of(near, platform.location);

  const respond: Answering["respond"] = (question, key, lookup, request, platform) => {
    const { type, service, filters } = question;
    if (lookup.type !== "found") throw failure(lookup, service);
    const { held } = lookup;
    const { revision } = held.snapshot;
    const place = placeOf(filters, platform);
    if (type === "service") {
      const body = selections.body(held, question, place);
      const etag = place === undefined ? held.etag : `${held.etag.slice(0, -1)}-${place.key}"`;
      return answer({ request, provenance: lookup, revision, etag, body, anywhere: filters.near !== NEAR_AUTO });
    }
    const instance = selections.pick(held, question, place, key);
    if (!instance) throw nothingKnown(`No instance of service "${service}" matches.`);
    return answer({ request, provenance: lookup, revision, body: held.pickBody(instance) });
  };

  return {
    placeOf,
    respond,
    body: (held, question, place) => selections.body(held, question, place),
    answer(question, key, lookups, request, platform) {
      const lookup = lookups.lookup(question.service, platform.background);
      return lookup instanceof Promise
        ? lookup.then((found) => respond(question, key, found, request, platform))
        : respond(question, key, lookup, request, platform);
    },
  };
}
