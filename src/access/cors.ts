import { HEADER_AGE_MS, HEADER_REVISION, HEADER_SOURCE, HEADER_STALE } from "../../contract/http.ts";

/** What a page's script may read besides the body (and what the Fetch standard always shows). */
const EXPOSED = [
  "Age",
  "Cache-Status",
  "ETag",
  "Retry-After",
  HEADER_SOURCE,
  HEADER_REVISION,
  HEADER_AGE_MS,
  HEADER_STALE,
].join(", ");
const METHODS = "GET, HEAD";
/** What a page may send besides what it always may. */
const REQUEST_HEADERS = "Authorization, Cache-Control, If-None-Match, Last-Event-ID";
/** How long a browser may go without asking again: as long as every browser takes. */
const PREFLIGHT_SECONDS = 600;

/**
 * Cross-origin requests of browsers, by the Fetch standard: answers a preflight, which never brings a credential, and
 * lets the page that asked read any other answer, errors included, if its origin may.
 */
export type Cors = (request: Request, answer: () => Response | Promise<Response>) => Response | Promise<Response>;

/** For pages of `origins`, or of any with `*`. Undefined without one: it is off, and browsers show no page an answer. */
export function createCors(origins: readonly string[]): Cors | undefined {
  if (origins.length === 0) return undefined;
  const any = origins.includes("*");
  const allowed = new Set(origins);

  function mark(request: Request, { headers }: Response): boolean {
    const origin = request.headers.get("origin");
    // Caches on the way must tell the answers to different origins apart, also from those to none.
    if (!any) headers.append("Vary", "Origin");
    if (origin === null || !(any || allowed.has(origin))) return false;
    headers.set("Access-Control-Allow-Origin", any ? "*" : origin);
    return true;
  }

  function preflight(request: Request): Response {
    const response = new Response(null, { status: 204 });
    if (mark(request, response)) {
      response.headers.set("Access-Control-Allow-Methods", METHODS);
      response.headers.set("Access-Control-Allow-Headers", REQUEST_HEADERS);
      response.headers.set("Access-Control-Max-Age", String(PREFLIGHT_SECONDS));
    }
    return response;
  }

  return (request, answer) => {
    if (request.method === "OPTIONS" && request.headers.has("access-control-request-method")) return preflight(request);
    const expose = (response: Response) => {
      if (mark(request, response)) response.headers.set("Access-Control-Expose-Headers", EXPOSED);
      return response;
    };
    const answered = answer();
    return answered instanceof Promise ? answered.then(expose) : expose(answered);
  };
}
