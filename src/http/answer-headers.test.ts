import { afterEach, expect, it, vi } from "vitest";
import { createAnswer } from "./answer.ts";
import type { Provenance } from "../lookup/provenance.ts";

afterEach(() => vi.unstubAllGlobals());

/** As servers have it that write out what was given without making a Response of the platform's. */
class KeepingResponse {
  readonly headers: Headers;
  constructor(_body: unknown, { headers }: { readonly headers: Headers }) {
    this.headers = headers;
  }
}

const FIRST: Provenance = { source: "memory", ageMs: 1, stale: false, cacheStatus: "hit" };
const SECOND: Provenance = { source: "last-known-good", ageMs: 22_000, stale: true, cacheStatus: "fwd=stale" };

it.each([Response, KeepingResponse])("answers keep their headers, whatever is answered after them, by %o", (kind) => {
  const answer = createAnswer();
  const request = new Request("http://resolver/");
  const give = (provenance: Provenance, revision: number, etag: string, anywhere: boolean) =>
    answer({ request, provenance, revision, etag, anywhere, body: "" });
  // Put in place after the first answer, as a server does that is started late.
  give(SECOND, 0, '"0"', true);
  vi.stubGlobal("Response", kind);
  const first = give(FIRST, 1, '"a"', true);
  const before = [...first.headers];
  give(SECOND, 2, '"b"', true);
  give(SECOND, 3, '"c"', false);
  expect([...first.headers]).toEqual(before);
  expect(Object.fromEntries(before)).toEqual({
    age: "0",
    "cache-control": "private, no-cache",
    "cache-status": "fingerpost; hit",
    "content-type": "application/json",
    etag: '"a"',
    "fingerpost-age-ms": "1",
    "fingerpost-revision": "1",
    "fingerpost-source": "memory",
    "fingerpost-stale": "false",
  });
});
