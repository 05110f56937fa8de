import { HEADER_AGE_MS, HEADER_REVISION, HEADER_SOURCE, HEADER_STALE } from "../../contract/http.ts";
import type { Provenance } from "../lookup/provenance.ts";

/**
 * The headers of one kind of answer after another: in one Headers object, of which only what differs from the last answer
 * is changed, since most of an answer's cost is to make nine headers out of nothing. A Response takes a copy (Fetch
 * standard, "initialize a response"), so it must be made before the next call.
 */
export type AnswerHeaders = (provenance: Provenance, revision: number, etag: string | undefined) => Headers;

/** `fixed` are in each of them. `copied` tells whether a Response takes a copy: see `createCopyCheck`. */
export function createAnswerHeaders(fixed: Readonly<Record<string, string>>, copied: () => boolean): AnswerHeaders {
  const headers = new Headers(fixed);
  const last = new Map<string, string | number | boolean>();

  function tell(name: string, value: string | number | boolean, prefix = ""): void {
    if (last.get(name) === value) return;
    last.set(name, value);
    headers.set(name, prefix + String(value));
  }

  return ({ source, ageMs, stale, cacheStatus }, revision, etag) => {
    tell("Cache-Status", cacheStatus, "fingerpost; ");
    tell("Age", Math.floor(ageMs / 1000));
    tell(HEADER_SOURCE, source);
    tell(HEADER_REVISION, revision);
    tell(HEADER_AGE_MS, ageMs);
    tell(HEADER_STALE, stale);
    if (etag !== undefined) tell("ETag", etag);
    return copied() ? headers : new Headers(headers);
  };
}

/**
 * Whether a Response takes a copy of the headers it is given. Servers put one of their own in place of the platform's,
 * also later on, which keeps the very object.
 */
export function createCopyCheck(): () => boolean {
  let judged: typeof Response | undefined;
  let copied = false;
  return () => {
    if (judged !== Response) {
      judged = Response;
      const given = new Headers();
      new Response(null, { headers: given }).headers.set("Age", "0");
      copied = !given.has("Age");
    }
    return copied;
  };
}
