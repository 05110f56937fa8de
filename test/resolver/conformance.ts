import { Ajv2020 } from "ajv/dist/2020.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Headers that belong to any HTTP message, or that keep a page from doing harm: they are not part of the contract. */
const UNDESCRIBED = ["connection", "content-length", "content-type", "date", "keep-alive", "transfer-encoding"];
const OF_PAGES = ["content-security-policy", "x-content-type-options", "x-accel-buffering"];
/** Described headers that some answers of the same status do not have. */
const NOT_ALWAYS = ["vary", "allow"];

export interface Conformance {
  /** Throws unless the answer is as the document says. Returns what was answered, as `operationId status`. */
  check(path: string, response: Response): Promise<string>;
  /** Every `operationId status` that the document promises. */
  readonly promised: readonly string[];
}

/** Judges real answers by an OpenAPI document, in which whatever is not described is taken for a mistake. */
export function createConformance(document: JsonObject): Conformance {
  const ajv = new Ajv2020({ allErrors: true });
  const { schemas } = document["components"] as JsonObject;
  ajv.addSchema(inAjv({ $id: "openapi", $defs: closed(schemas) }));
  const operations = Object.entries(document["paths"] as Readonly<Record<string, { get: JsonObject }>>).map(
    ([template, { get }]) => ({
      pattern: new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
      id: get["operationId"] as string,
      responses: get["responses"] as Readonly<Record<string, JsonObject>>,
    }),
  );

  function dereference(item: JsonObject): JsonObject {
    const { $ref } = item;
    if (typeof $ref !== "string") return item;
    return $ref
      .slice(2)
      .split("/")
      .reduce<JsonObject>((at, key) => at[key] as JsonObject, document);
  }

  function checkHeaders(where: string, described: JsonObject, { headers }: Response, complete: boolean): void {
    const names = Object.keys(described).map((name) => name.toLowerCase());
    const unknown = [...headers.keys()].filter((name) => ![...names, ...UNDESCRIBED, ...OF_PAGES].includes(name));
    if (unknown.length > 0) throw new Error(`${where} has headers that are not described: ${unknown.join(", ")}`);
    for (const [name, item] of Object.entries(described)) {
      const value = headers.get(name);
      if (value === null) {
        if (complete && !NOT_ALWAYS.includes(name.toLowerCase())) throw new Error(`${where} lacks its header ${name}`);
        continue;
      }
      const { schema } = dereference(item as JsonObject) as { readonly schema: JsonObject };
      const parsed: unknown = schema["type"] === "string" ? value : JSON.parse(value);
      if (!ajv.validate(schema, parsed)) throw new Error(`${where}: ${name}: ${value} is not as described`);
    }
  }

  return {
    promised: operations.flatMap(({ id, responses }) => Object.keys(responses).map((status) => `${id} ${status}`)),
    async check(path, response) {
      const [pathname = ""] = path.split("?");
      const operation = operations.find(({ pattern }) => pattern.test(pathname));
      if (!operation) throw new Error(`${pathname} is not described`);
      const status = String(response.status);
      const key = status in operation.responses ? status : "default";
      const where = `${operation.id} ${key}`;
      const described = dereference(operation.responses[key] ?? {});
      const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
      const stream = type === "text/event-stream";
      // A resolve that could not look up all has no tag, and says so by no-store.
      const tagless = operation.id.startsWith("resolve") && response.headers.get("cache-control") === "no-store";
      checkHeaders(where, (described["headers"] ?? {}) as JsonObject, response, !stream && !tagless);
      const content = described["content"] as Readonly<Record<string, JsonObject>> | undefined;
      if (!content) {
        if ((await response.text()) !== "") throw new Error(`${where} has a body that is not described`);
        return where;
      }
      const { schema } = content[type] ?? {};
      if (schema === undefined) throw new Error(`${where} is ${type}, which is not described`);
      if (stream) return where;
      const text = await response.text();
      const body: unknown = type.endsWith("json") ? JSON.parse(text) : text;
      const valid = ajv.compile(inAjv(schema as JsonObject));
      if (!valid(body)) throw new Error(`${where}: ${ajv.errorsText(valid.errors)} in ${text.slice(0, 500)}`);
      return where;
    },
  };
}

/** Refers to the document's schemas where Ajv has them. */
function inAjv(schema: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/schemas/', '"openapi#/$defs/')) as JsonObject;
}

/** With every object closed: readers must put up with new fields, its own tests must not. */
function closed<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => closed(item)) as T;
  const members = Object.fromEntries(Object.entries(value).map(([key, member]) => [key, closed<unknown>(member)]));
  const open = members["type"] === "object" && "properties" in members && !("additionalProperties" in members);
  return (open ? { ...members, additionalProperties: false } : members) as T;
}
