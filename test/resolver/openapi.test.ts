import { Validator } from "@seriousme/openapi-schema-validator";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { Problem } from "../../contract/problem.ts";
import { createDocument } from "../../generate/document.ts";
import {
  eventsExample,
  pickExample,
  resolveExample,
  serviceExample,
  servicesExample,
} from "../../generate/examples.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { sha256 } from "../../kernel/secret.ts";
import checkedIn from "../../src/http/openapi/document.json" with { type: "json" };
import { OPERATION_NAMES, OPERATIONS, type OperationName } from "../../src/http/operations.ts";
import type { ParameterTable, ValueSchema as Schema } from "../../src/http/parameters.ts";
import { readQuery } from "../../src/http/query.ts";
import { createConformance, type Conformance, type JsonObject } from "./conformance.ts";
import { createFixture, type Fixture, type FixtureOptions } from "./fixture.ts";

const PREFIXES = ["/v1", "/v1/namespaces/default"];
const QUERIES: Readonly<Record<OperationName, string>> = {
  service: "services/web",
  pick: "services/web/pick",
  watch: "services/web/watch?wait=1s",
  services: "services",
  resolve: "resolve?service=web",
};

let fixture: Fixture;
let document: JsonObject;
let conformance: Conformance;

beforeAll(async () => {
  fixture = await filled();
  document = (await (await fixture.get("/openapi.json")).json()) as JsonObject;
  conformance = createConformance(document);
});

/** What is published is what the examples say. */
async function filled(options: FixtureOptions = {}): Promise<Fixture> {
  const made = createFixture(options);
  made.publisher.epoch = serviceExample.epoch;
  made.publisher.revision = serviceExample.revision - 1;
  made.publisher.services.set("web", serviceExample.instances);
  made.publisher.services.set("api", []);
  await made.publisher.fill();
  return made;
}

/** The answer to a request that may have to wait. */
async function answerOf(asked: Fixture, path: string, headers: Record<string, string> = {}, method = "GET") {
  const answer = asked.get(path, headers, method);
  await asked.clock.advance(1000);
  return answer;
}

describe("the document", () => {
  it("is what `npm run generate` makes of the sources", () => {
    expect(JSON.parse(JSON.stringify(createDocument()))).toEqual(checkedIn);
  });

  it("is valid OpenAPI 3.1 by its schema", async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
    expect(document["openapi"]).toMatch(/^3\.1\./);
  });

  it("has each path of the default namespace for a named one too, and no operation of the same id", () => {
    const paths = Object.keys(document["paths"] as object);
    const lookups = paths.filter((path) => /^\/v1\/(?!namespaces)/.test(path));
    expect(lookups).toHaveLength(OPERATION_NAMES.length);
    for (const path of lookups) expect(paths).toContain(path.replace("/v1", "/v1/namespaces/{namespace}"));
    const ids = conformance.promised.map((where) => where.split(" ")[0]);
    expect(new Set(ids).size).toBe(paths.length);
  });

  it("and its page are answered without a key, may be kept by anyone, and are 304 to whoever has them", async () => {
    const guarded = await filled({ access: { type: "keys", keys: [{ name: "a", digest: await sha256("a") }] } });
    for (const path of ["/openapi.json", "/docs"]) {
      const first = await guarded.get(path);
      expect(first.status).toBe(200);
      expect(first.headers.get("cache-control")).toMatch(/^public, max-age=\d+$/);
      const again = await guarded.get(path, { "if-none-match": first.headers.get("etag") ?? "" });
      expect(again.status).toBe(304);
      expect(await again.text()).toBe("");
    }
  });
});

describe("the page", () => {
  let page: Response;
  let html: string;

  beforeAll(async () => {
    page = await fixture.get("/docs");
    html = await page.text();
  });

  it("has every operation, parameter, header and status of the document", () => {
    const { parameters: all, headers } = document["components"] as Readonly<Record<string, JsonObject>>;
    for (const [path, { get }] of Object.entries(document["paths"] as Readonly<Record<string, { get: JsonObject }>>)) {
      if (path.includes("{namespace}")) continue;
      expect(html).toContain(`<h2 id="${String(get["operationId"])}">GET ${path}</h2>`);
      for (const status of Object.keys(get["responses"] as object)) expect(html).toContain(`<code>${status}</code>`);
    }
    for (const parameter of Object.values(all ?? {}) as JsonObject[]) {
      const { name, description } = parameter as { readonly name: string; readonly description: string };
      if (name === "namespace") continue;
      const [text = ""] = description.replaceAll("&", "&amp;").replaceAll("<", "&lt;").split("`");
      expect(html).toContain(`<code>${name}</code><td>${text}`);
    }
    for (const name of Object.keys(headers ?? {})) expect(html).toContain(`<code>${name}</code>`);
  });

  it("has a command line for every operation, and each is answered", async () => {
    const commands = [...html.matchAll(/<pre class="run">(.*?)<\/pre>/g)].map(([, command = ""]) => command);
    expect(commands).toHaveLength(OPERATION_NAMES.length + 4);
    for (const command of commands) {
      const [, path = ""] = /"\$RESOLVER(.*)"/.exec(command.replaceAll("&amp;", "&")) ?? [];
      expect([path, (await fixture.get(path)).status]).toEqual([path, 200]);
      expect(command.includes("Authorization: Bearer")).toBe(path.startsWith("/v1/"));
    }
  });

  it("runs nothing and loads nothing: its policy allows its own style sheet alone, by its hash", async () => {
    const policy = page.headers.get("content-security-policy") ?? "";
    const [, style = ""] = /<style>([^]*?)<\/style>/.exec(html) ?? [];
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain(`style-src 'sha256-${Buffer.from(await sha256(style)).toString("base64")}'`);
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
    expect(html.match(/<(script|link|img|iframe|object|form|base)\b|\s(src|style|on\w+)=|@import|url\(/gi)).toBeNull();
    expect(
      [...html.matchAll(/href="([^"]*)"/g)].filter(([, target = ""]) => !/^(#\w+|openapi\.json)$/.test(target)),
    ).toEqual([]);
  });
});

describe("the examples", () => {
  it("are what the resolver answers", async () => {
    const bodyOf = async (path: string) => (await fixture.get(`/v1/${path}`)).json();
    expect(await bodyOf("services/web")).toEqual(serviceExample);
    expect(await bodyOf("services/web/pick")).toEqual(pickExample);
    expect(await bodyOf("services")).toEqual(servicesExample);
    expect(await bodyOf("resolve?service=web&service=nope")).toEqual(resolveExample);
  });

  it("of a stream are how it begins", async () => {
    const cut = await filled();
    await cut.get("/v1/services/web");
    cut.store.failing = true;
    await cut.clock.advance(11_000);
    const response = await cut.get("/v1/services/web/watch", { "last-event-id": "48" });
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
    let text = "";
    while (text.length < eventsExample.length) text += new TextDecoder().decode((await reader.read()).value);
    expect(text).toBe(eventsExample);
    await reader.cancel();
  });
});

describe("every answer is as described", () => {
  const seen = new Set<string>();

  async function check(asked: Fixture, path: string, headers: Record<string, string> = {}, method = "GET") {
    const response = await answerOf(asked, path, headers, method);
    seen.add(await conformance.check(path, response));
    return response.status;
  }

  it.each(PREFIXES)("under %s, whatever its status", async (prefix) => {
    const key = { name: "a", digest: await sha256("a") };
    const authorization = "Bearer a";
    const guarded = await filled({ access: { type: "keys", keys: [key] } });
    const scopes = [{ namespace: "other", service: "*" }];
    const scoped = await filled({ access: { type: "keys", keys: [{ ...key, scopes }] } });
    const limited = await filled({ rateLimit: { perSecond: 1 } });
    const elsewhere = await filled({ namespaces: ["elsewhere"] });
    const empty = await filled();
    empty.store.failing = true;
    for (const name of OPERATION_NAMES) {
      const path = `${prefix}/${QUERIES[name]}`;
      const etag = (await answerOf(fixture, path)).headers.get("etag");
      const asked: [status: number, of: Fixture, path: string, headers?: Record<string, string>, method?: string][] = [
        [200, fixture, path],
        [200, fixture, path, { "cache-control": "no-cache" }],
        [400, fixture, `${path}${path.includes("?") ? "&" : "?"}color=red&limit=0`],
        [401, guarded, path],
        [200, guarded, path, { authorization }],
        [403, scoped, path, { authorization }],
        [405, fixture, path, {}, "POST"],
        [503, empty, path],
      ];
      if (etag !== null) asked.push([304, fixture, path, { "if-none-match": etag }]);
      if (path.includes("services/web")) asked.push([404, fixture, path.replace("web", "nope")]);
      if (prefix.includes("namespaces")) asked.push([404, elsewhere, path]);
      for (const [status, ...request] of asked) expect([path, await check(...request)]).toEqual([path, status]);

      await limited.get("/v1/services/web");
      const refused = await limited.get(path);
      expect(refused.status).toBe(429);
      seen.add(await conformance.check(path, refused));
      await limited.clock.advance(5000);
    }
  });

  it("and of those that need no key", async () => {
    const incomplete = await filled();
    await incomplete.publisher.writeHead({ complete: false });
    expect(await check(incomplete, "/readyz")).toBe(503);
    for (const path of ["/healthz", "/readyz", "/openapi.json", "/docs"]) {
      expect(await check(fixture, path)).toBe(200);
      expect(await check(fixture, path, {}, "DELETE")).toBe(405);
    }
    for (const path of ["/openapi.json", "/docs"]) {
      const etag = (await fixture.get(path)).headers.get("etag") ?? "";
      expect(await check(fixture, path, { "if-none-match": etag })).toBe(304);
    }
  });

  it("when it is stale, filtered, near, a page of several, or of some that could not be looked up", async () => {
    const cut = await filled();
    await cut.get("/v1/resolve?service=web");
    cut.store.failing = true;
    await cut.clock.advance(20_000);
    for (const path of [
      "/v1/services/web?tag=public&near=auto",
      "/v1/services/web/pick?key=a",
      "/v1/resolve?service=web&service=nope",
      "/v1/services/web/watch",
    ]) {
      expect(await check(cut, path)).toBe(200);
    }
    expect(await check(fixture, "/v1/services?limit=1")).toBe(200);
    expect(await check(fixture, "/v1/services/web/watch", { accept: "text/event-stream" })).toBe(200);
  });

  it("and no status is promised that is not answered", () => {
    // The default namespace is always there.
    expect(conformance.promised.filter((where) => !seen.has(where))).toEqual(["services 404", "resolve 404"]);
  });
});

describe("parameters", () => {
  const described = OPERATION_NAMES.flatMap((name) => {
    const table: ParameterTable = OPERATIONS[name].parameters;
    return Object.entries(table).map(([parameter, rule]) => [name, parameter, rule] as const);
  });
  const parameters = () => (document["components"] as JsonObject)["parameters"] as Readonly<Record<string, JsonObject>>;

  it("are taken by the resolver as the document's example has them", async () => {
    for (const [name, parameter] of described) {
      const { example } = parameters()[`${name}.${parameter}`] ?? parameters()[parameter] ?? {};
      const path = `/v1/${QUERIES[name].replace(/\?.*/, "")}?${written(parameter, example)}`;
      const required = name === "resolve" && parameter !== "service" ? "&service=web" : "";
      const response = fixture.get(path + required);
      await fixture.clock.advance(60_000);
      expect([path, (await response).status === 400]).toEqual([path, false]);
    }
  });

  it("that are not described are refused by name, by every operation", async () => {
    for (const name of OPERATION_NAMES) {
      const known = Object.keys(OPERATIONS[name].parameters);
      await fc.assert(
        fc.asyncProperty(fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }), async (unknown) => {
          fc.pre(!known.includes(unknown) && !unknown.startsWith("meta."));
          const path = `/v1/${QUERIES[name]}${QUERIES[name].includes("?") ? "&" : "?"}${encodeURIComponent(unknown)}=1`;
          const response = await fixture.get(path);
          expect(response.status).toBe(400);
          expect(((await response.json()) as Problem).errors?.map(({ parameter }) => parameter)).toEqual([unknown]);
        }),
        { numRuns: 20 },
      );
    }
  });

  it("are refused by name when their schema does not allow the value, and else read", () => {
    for (const [operation, parameter, rule] of described) {
      const { schema } = rule.value;
      const name = rule.type === "family" ? `${parameter}.key` : parameter;
      const table: ParameterTable = { [parameter]: rule };
      const outcome = (value: string) => {
        try {
          readQuery(`http://resolver/?${name}=${encodeURIComponent(value)}`, table);
          return "read";
        } catch (error) {
          if (!(error instanceof FingerpostError)) throw error;
          return `refused: ${error.violations.map((violation) => violation.parameter).join()}`;
        }
      };
      // JSON Schema has no words for these two rules: there it may allow more.
      const loose = parameter === "version" || parameter === "wait";
      const values = fc.oneof(valuesOf(schema), fc.string({ unit: "grapheme" }), fc.constant("a".repeat(3000)));
      fc.assert(
        fc.property(values, (value) => {
          const expected = allows(schema, value) ? "read" : `refused: ${name}`;
          if (loose && expected === "read") return;
          expect([operation, value, outcome(value)]).toEqual([operation, value, expected]);
        }),
        { numRuns: 40 },
      );
    }
  });
});

describe("a parameter", () => {
  it("may be given as often as described, and no more", () => {
    for (const name of OPERATION_NAMES) {
      const table: ParameterTable = OPERATIONS[name].parameters;
      for (const [parameter, rule] of Object.entries(table)) {
        const timesMax = rule.type === "many" ? rule.timesMax : 1;
        const member = rule.type === "family" ? `${parameter}.key` : parameter;
        const value = (index: number) => {
          const { enum: choices, type } = rule.value.schema;
          return choices?.[0] ?? (type === "integer" || parameter === "wait" ? "1" : `${index + 1}`);
        };
        const read = (times: number) => {
          const query = Array.from({ length: times }, (_, index) => `${member}=${value(index)}`).join("&");
          return readQuery(`http://resolver/?${query}`, { [parameter]: rule });
        };
        expect(() => read(timesMax)).not.toThrow();
        expect(() => read(timesMax + 1)).toThrow(FingerpostError);
      }
    }
  });
});

/** An example as it stands in a URL. */
function written(name: string, example: unknown): string {
  if (Array.isArray(example)) return example.map((value) => `${name}=${encodeURIComponent(String(value))}`).join("&");
  const pairs = typeof example === "object" && example !== null ? Object.entries(example) : [[name, example]];
  return new URLSearchParams(pairs.map(([key, value]) => [String(key), String(value)])).toString();
}

function valuesOf({ enum: choices, pattern, type, minimum = 0, maximum = 0, maxLength }: Schema): fc.Arbitrary<string> {
  if (choices) return fc.constantFrom(...choices);
  if (type === "integer") {
    const between = fc.maxSafeInteger().map((number) => minimum + (Math.abs(number) % (maximum - minimum + 1)));
    return fc.oneof(between, fc.constantFrom(minimum - 1, minimum, maximum, maximum + 1)).map(String);
  }
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return fc.string({ maxLength: maxLength ?? 10 });
}

/** What JSON Schema says of the value, where a number is written in decimal digits. */
function allows({ enum: choices, pattern, type, minimum = 0, maximum = 0, maxLength }: Schema, value: string): boolean {
  if (type === "integer") return /^(0|[1-9]\d*)$/.test(value) && Number(value) >= minimum && Number(value) <= maximum;
  if (choices && !choices.includes(value)) return false;
  if (pattern !== undefined && !new RegExp(pattern, "u").test(value)) return false;
  return value.length <= (maxLength ?? 2048);
}
