import * as fc from "fast-check";
import { aHostileText } from "../support/arbitraries.ts";

export type Pair = readonly [name: string, value: string];

export const METHODS = [
  "GET",
  "PUT",
  "POST",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "TRACE",
  "PROPFIND",
  "get",
  "G(T",
  "",
];

const SEGMENTS = `.. . %2e%2e %2F %5c %00 %zz % %ff %c3%28 %F0%9F%A6%8A a%2523 a;b=c \u00e9 * :service {service}
  __proto__ constructor _cluster _agents pick watch namespaces`.split(/\s+/);

/** Parts of a path that one layer may read otherwise than the next. */
export const aSegment: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...SEGMENTS, "", "a b", "x".repeat(129), "x".repeat(3000), "x".repeat(20_000)),
  aHostileText.map(encoded),
);

export const aQueryPart: fc.Arbitrary<Pair> = fc.oneof(
  fc.constantFrom<Pair>(
    ...["0", "1", "1e3", "99999999999999999999", "-1", "NaN", "0x10", ""].map((text): Pair => ["limit", text]),
    ...["a/b", "__proto__", "a/b/c", "x".repeat(3000)].map((text): Pair => ["cursor", text]),
    ...["web", "", "__proto__", "no-such"].map((text): Pair => ["service", text]),
    ...["default", "other", "_"].map((text): Pair => ["namespace", text]),
    ...["0", "9007199254740993", "-1"].map((text): Pair => ["revision", text]),
    ...["1ms", "-1s", "1e9s", "0"].map((text): Pair => ["wait", text]),
    ...[">=1 <2 || ^3.0.0-0", `${"x".repeat(100)}.*`, ">".repeat(120), "9".repeat(128), "1.x.x - 2 ||".repeat(9)].map(
      (text): Pair => ["version", text],
    ),
    ...["all", "__proto__", "healthy"].map((text): Pair => ["health", text]),
    ...["auto", "eu-1", "\u00e9"].map((text): Pair => ["near", text]),
    ...["tag", "key", "meta.a", "meta.", "meta.__proto__", "meta.constructor"].map((name): Pair => [name, "\u{1f98a}"]),
    ...["__proto__", "constructor", "toString", "%", "_token", "EX"].map((name): Pair => [name, "10"]),
  ),
  fc.tuple(aHostileText, aHostileText),
);

const headers: readonly Pair[] = [
  ...["text/plain", "application/json; charset=utf-16", "application/json;;;", "multipart/form-data; boundary=x"].map(
    (value): Pair => ["Content-Type", value],
  ),
  ...["*/*;q=nan", "text/event-stream", "application/json, text/event-stream;q=0", ",".repeat(500)].map(
    (value): Pair => ["Accept", value],
  ),
  ...["*", 'W/"1-a-b", "x', '"'.repeat(4000)].map((value): Pair => ["If-None-Match", value]),
  ...["1", "-1e308", "x".repeat(500)].map((value): Pair => ["Last-Event-ID", value]),
  ...["https://example.com", "null"].map((value): Pair => ["Origin", value]),
  ...["example.com", "127.0.0.1:1:1", "a b", "", "[::1", "127.0.0.1:99999"].map((value): Pair => ["Host", value]),
  ...["100-continue", "200-ok"].map((value): Pair => ["Expect", value]),
  ...["Basic eDp5", "Bearer", "Bearer ", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer \u00e9", "x"].map((value): Pair => [
    "Authorization",
    value,
  ]),
  ["Authorization", `Bearer ${"a".repeat(9000)}`],
  ["Content-Encoding", "gzip"],
  ["Accept-Encoding", "gzip, br, zstd"],
  ["If-Match", "*"],
  ["Range", "bytes=0-1,5-"],
  ["Cache-Control", "no-cache, max-age=0, max-age=x"],
  ["Connection", "upgrade"],
  ["Upgrade", "websocket"],
  ["TE", "trailers"],
  ["Trailer", "Content-Length"],
  ["Cookie", "a=".padEnd(6000, "b")],
  ["X-Huge", "x".repeat(9000)],
  ["X-Huger", "x".repeat(70_000)],
  ["X-Forwarded-Host", "example.com"],
  ["X-HTTP-Method-Override", "DELETE"],
  ["Upstash-Encoding", "base64"],
  ["Bad Name", "x"],
  ["X-Bad", "\u0000"],
  ["X-Folded", "a\r\n b"],
];

/** A secret that comes in another place than its own is echoed by whoever tells what was wrong there. */
export function aHeader(secrets: readonly string[]): fc.Arbitrary<Pair> {
  const misplaced = fc
    .tuple(fc.constantFrom("X-Given", "Accept", "Last-Event-ID", "Authorization"), fc.constantFrom(...secrets))
    .map(([name, secret]): Pair => [name, name === "Authorization" ? `Basic ${secret}` : secret]);
  return fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...headers) }, { weight: 1, arbitrary: misplaced });
}

/** Half of a surrogate pair cannot be encoded. */
export function encoded(text: string): string {
  return text === "%" ? text : encodeURIComponent(text.toWellFormed());
}
