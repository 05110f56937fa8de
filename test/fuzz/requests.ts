import * as fc from "fast-check";
import { anOddJsonText } from "../support/arbitraries.ts";
import { mutatedText } from "../support/mutations.ts";
import { aHeader, aQueryPart, aSegment, encoded, METHODS, type Pair } from "./hostile.ts";

/** A request that is right, of which others are made that are wrong in some way. */
export interface Template {
  readonly method: string;
  readonly path: string;
  readonly query?: readonly Pair[];
  /** JSON. */
  readonly body?: fc.Arbitrary<string>;
}

export interface FuzzedRequest {
  readonly method: string;
  readonly target: string;
  readonly pieces: readonly Buffer[];
}

/** How the length of a body is told: `length` and `chunked` are right. */
const FRAMINGS = ["short", "long", "both", "twice", "bad-length", "bad-chunk", "endless-chunk"] as const;
type Framing = "length" | "chunked" | (typeof FRAMINGS)[number];

export interface RequestOptions {
  readonly templates: readonly Template[];
  readonly port: number;
  /** A valid one. */
  readonly token: string;
  /** None of them may ever be seen in an answer. */
  readonly secrets: readonly string[];
}

/** Requests that are a template's, changed in none to some of their parts. */
export function aRequest(options: RequestOptions): fc.Arbitrary<FuzzedRequest> {
  return fc.constantFrom(...options.templates).chain((template) => changed(template, options));
}

function changed(template: Template, { port, token, secrets }: RequestOptions): fc.Arbitrary<FuzzedRequest> {
  const noBody = fc.constant(undefined);
  const parts = fc.record({
    method: often(8, template.method, fc.constantFrom(...METHODS)),
    path: often(3, template.path, changedPath(template.path)),
    query: often(2, template.query ?? [], changedQuery(template.query ?? [])),
    headers: often(1, [], fc.array(aHeader(secrets), { minLength: 1, maxLength: 3 })),
    authorised: often(12, true, fc.constant(false)),
    typed: often(12, true, fc.constant(false)),
    body: template.body
      ? aBody(template.body)
      : fc.oneof({ weight: 5, arbitrary: noBody }, { weight: 1, arbitrary: aBody(fc.constant("{}")) }),
    framing: fc.oneof(
      { weight: 8, arbitrary: fc.constant<Framing>("length") },
      { weight: 2, arbitrary: fc.constant<Framing>("chunked") },
      { weight: 2, arbitrary: fc.constantFrom<Framing>(...FRAMINGS) },
    ),
    cutAt: often<number | undefined>(15, undefined, fc.nat()),
    pieces: often(15, 1, fc.integer({ min: 2, max: 4 })),
  });
  return parts.map(({ method, path, query, headers, authorised, typed, body, framing, cutAt, pieces }) => {
    const text = query.map((pair) => pair.map(encoded).join("=")).join("&");
    const target = path + (text === "" ? "" : `?${text}`);
    const given = new Set(headers.map(([name]) => name.toLowerCase()));
    const usual: readonly (readonly [Pair, boolean])[] = [
      [["Host", `127.0.0.1:${port}`], true],
      [["Authorization", `Bearer ${token}`], authorised],
      [["Content-Type", "application/json"], typed && body !== undefined],
      [["Connection", "close"], true],
    ];
    const sent = usual.flatMap(([pair, has]) => (has && !given.has(pair[0].toLowerCase()) ? [pair] : []));
    const bytes = toBytes(`${method} ${target}`, [...sent, ...headers], body, framing);
    return {
      method,
      target,
      pieces: inPieces(bytes.subarray(0, (cutAt ?? bytes.length) % (bytes.length + 1)), pieces),
    };
  });
}

function often<T>(weight: number, usual: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
}

function changedPath(path: string): fc.Arbitrary<string> {
  const segments = path.split("/").slice(1);
  const how = fc.constantFrom("replace", "replace", "insert", "remove", "double", "end");
  return fc.tuple(fc.nat({ max: segments.length }), aSegment, how).map(([at, segment, change]) => {
    const others = [...segments];
    if (change === "replace") others[Math.min(at, segments.length - 1)] = segment;
    if (change === "insert") others.splice(at, 0, segment);
    if (change === "remove") others.splice(at, 1);
    if (change === "double") others.splice(at, 0, "");
    return `/${others.join("/")}${change === "end" ? "/" : ""}`;
  });
}

function changedQuery(query: readonly Pair[]): fc.Arbitrary<readonly Pair[]> {
  const more = fc.array(aQueryPart, { minLength: 1, maxLength: 3 }).map((pairs) => [...query, ...pairs]);
  const repeated = fc
    .tuple(aQueryPart, fc.integer({ min: 2, max: 70 }))
    .map(([pair, times]) => Array.from({ length: times }, () => pair));
  return fc.oneof({ weight: 3, arbitrary: more }, { weight: 1, arbitrary: repeated });
}

function aBody(valid: fc.Arbitrary<string>): fc.Arbitrary<Buffer | undefined> {
  const large = fc.constantFrom(" ".repeat(20_000), "x".repeat(200_000));
  const texts = fc.oneof(
    { weight: 3, arbitrary: valid },
    { weight: 5, arbitrary: mutatedText(valid) },
    { weight: 1, arbitrary: anOddJsonText },
    { weight: 1, arbitrary: large },
  );
  return fc.oneof(
    { weight: 12, arbitrary: texts.map((text) => Buffer.from(text)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)) },
  );
}

function toBytes(line: string, given: readonly Pair[], body: Buffer | undefined, framing: Framing): Buffer {
  const { fields, content } = body ? framed(body, framing) : { fields: [], content: Buffer.alloc(0) };
  const lines = [...given, ...fields].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.concat([Buffer.from(`${line} HTTP/1.1\r\n${lines}\r\n`, "latin1"), content]);
}

function framed(body: Buffer, framing: Framing): { readonly fields: readonly Pair[]; readonly content: Buffer } {
  const length = (value: number): Pair => ["Content-Length", String(value)];
  const coding: Pair = ["Transfer-Encoding", "chunked"];
  const size = framing === "bad-chunk" ? "zz" : body.length.toString(16);
  const end = framing === "endless-chunk" ? "" : "\r\n0\r\n\r\n";
  const chunks = Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(end)]);
  const inChunks = body.length === 0 ? Buffer.from("0\r\n\r\n") : chunks;
  switch (framing) {
    case "length":
      return { fields: [length(body.length)], content: body };
    case "short":
      return { fields: [length(Math.floor(body.length / 2))], content: body };
    case "long":
      return { fields: [length(body.length + 10)], content: body };
    case "bad-length":
      return { fields: [length(-1)], content: body };
    case "twice":
      return { fields: [length(body.length), length(body.length + 1)], content: body };
    case "both":
      return { fields: [length(body.length), coding], content: inChunks };
    case "chunked":
    case "bad-chunk":
    case "endless-chunk":
      return { fields: [coding], content: inChunks };
  }
}

function inPieces(bytes: Buffer, count: number): Buffer[] {
  const size = Math.max(1, Math.ceil(bytes.length / count));
  const pieces = Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
  return pieces.filter((piece) => piece.length > 0);
}
