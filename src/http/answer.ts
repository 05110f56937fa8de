import { FingerpostError } from "../../kernel/errors.ts";
import { createAnswerHeaders, createCopyCheck } from "./answer-headers.ts";
import type { Lookup } from "../lookup/lookups.ts";
import type { Provenance } from "../lookup/provenance.ts";

/** Shared caches must not keep what a credential opened, and private ones ask first: a 304 costs next to nothing. */
const CACHEABLE = "private, no-cache";
const NOT_CACHEABLE = "no-store";
const JSON_TYPE = { "Content-Type": "application/json" };
/** What a caller may try again after; the resolver itself reads again by then. */
const RETRY_AFTER_SECONDS = 1;

export interface AnswerOptions {
  readonly request: Request;
  readonly provenance: Provenance;
  readonly revision: number;
  /** Left out, the answer is `no-store`. */
  readonly etag?: string;
  /** False where the same request is answered otherwise elsewhere; nothing in it tells a cache where it was made. */
  readonly anywhere?: boolean;
  readonly body: string | Uint8Array<ArrayBuffer>;
}

/** A 200, or a 304 when the caller has these bytes already. */
export type Answer = (options: AnswerOptions) => Response;

export function createAnswer(): Answer {
  const copied = createCopyCheck();
  const headersByPlace = (fixed: Readonly<Record<string, string>>) => ({
    anywhere: createAnswerHeaders(fixed, copied),
    here: createAnswerHeaders({ ...fixed, Vary: "*" }, copied),
  });
  const noStore = headersByPlace({ "Cache-Control": NOT_CACHEABLE, ...JSON_TYPE });
  const tagged = headersByPlace({ "Cache-Control": CACHEABLE, ...JSON_TYPE });
  const unchanged = headersByPlace({ "Cache-Control": CACHEABLE });
  return ({ request, provenance, revision, etag, anywhere = true, body }) => {
    const place = anywhere ? "anywhere" : "here";
    if (etag !== undefined && matchesTag(request.headers.get("if-none-match"), etag)) {
      return new Response(null, { status: 304, headers: unchanged[place](provenance, revision, etag) });
    }
    const headersOf = etag === undefined ? noStore : tagged;
    return new Response(body, { headers: headersOf[place](provenance, revision, etag) });
  };
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2): a proxy that compresses may have made the tag weak. */
export function matchesTag(header: string | null, etag: string): boolean {
  if (header === null) return false;
  if (header === etag || header.trim() === "*") return true;
  return header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

/** What a lookup without an answer is to the caller. */
export function failure(lookup: Exclude<Lookup, { type: "found" }>, service: string): FingerpostError {
  return lookup.type === "unknown"
    ? new FingerpostError("not_found", `There is no service "${service}".`)
    : nothingKnown(`Nothing is known of service "${service}" yet.`);
}

export function nothingKnown(message: string): FingerpostError {
  return new FingerpostError("unavailable", message, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}
