import { HEADER_AGE_MS, HEADER_REVISION, HEADER_SOURCE, HEADER_STALE, type Source } from "../contract/http.ts";

const SOURCES: Readonly<Record<Source, string>> = {
  memory: "held",
  colo: "read by another of the data centre",
  redis: "read for this request",
  "last-known-good": "not read again in time",
};

const text = { type: "string" };
const whole = { type: "integer", minimum: 0 };

/** Every header that an answer may have besides those of any HTTP message. */
export const headers = {
  ETag: {
    description: "Send it as If-None-Match.",
    schema: text,
    example: '"1-mi8orr9o-1c"',
  },
  "Cache-Control": {
    description: "`private, no-cache` with an ETag, else `no-store`; of this document `public`.",
    schema: text,
    example: "private, no-cache",
  },
  "Cache-Status": {
    description: "RFC 9211.",
    schema: text,
    example: "fingerpost; hit",
  },
  Age: { description: "Fingerpost-Age-Ms in whole seconds.", schema: whole, example: 0 },
  Vary: { description: "`*` with `near=auto`.", schema: text, example: "*" },
  [HEADER_SOURCE]: {
    description: `Where it came from. ${Object.entries(SOURCES)
      .map(([source, meaning]) => `\`${source}\`: ${meaning}`)
      .join("; ")}.`,
    schema: { type: "string", enum: Object.keys(SOURCES) },
    example: "memory",
  },
  [HEADER_REVISION]: { description: "The body's revision.", schema: whole, example: 48 },
  [HEADER_AGE_MS]: {
    description: "At most so old, in milliseconds: since the publisher was last known to be current.",
    schema: whole,
    example: 812,
  },
  [HEADER_STALE]: {
    description: "Whether it is older than it should be.",
    schema: { type: "boolean" },
    example: false,
  },
  "Retry-After": { description: "Seconds to wait.", schema: whole, example: 1 },
  "WWW-Authenticate": {
    description: "Asks for a bearer token.",
    schema: text,
    example: 'Bearer realm="fingerpost"',
  },
  Allow: { description: "The methods that are offered.", schema: text, example: "GET, HEAD" },
};
