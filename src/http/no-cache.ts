/** Characters of a Cache-Control header that are looked at: a sensible one has a tenth of that. */
const HEADER_LENGTH_MAX = 512;

/**
 * Readings that requests ask for with `no-cache`, an isolate: enough for clients that look at once at what they have just
 * written, and no lever against Redis.
 */
export const REVALIDATIONS_PER_SECOND = 5;
export const REVALIDATIONS_BURST = 10;

/**
 * Whether a request asks not to be answered from a cache (RFC 9111, 5.2.1): `no-cache`, or `max-age=0` as browsers send
 * on reload. `Pragma` is deprecated there, and does not count. Costs one header where there is none.
 */
export function asksAgain(request: Request): boolean {
  const header = request.headers.get("cache-control");
  if (header === null || header.length > HEADER_LENGTH_MAX) return false;
  // A quoted value may hold commas and words of its own; a quoted number is the number.
  const unquoted = header.replace(/"(\d*)"|"(?:[^"\\]|\\.)*"/g, "$1");
  return unquoted.split(",").some((directive) => /^\s*(?:no-cache|max-age\s*=\s*0+)\s*$/i.test(directive));
}
