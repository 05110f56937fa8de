import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import {
  pickAnswerSchema,
  problemSchema,
  resolveAnswerSchema,
  serviceAnswerSchema,
  servicesAnswerSchema,
  watchStatusSchema,
} from "../contract/answers.ts";
import { instanceSchema } from "../contract/snapshot.ts";

interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly [keyword: string]: unknown;
}

/** What fields mean that their names do not tell. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Instance: {
    address: "A host name or an IP address.",
    url: "A public address, where it is another.",
    weight: "Its share of traffic; 0 takes none while others can.",
    status: "`suspect`: gone or down with too many others at once to be believed; counts as healthy.",
  },
  Service: {
    epoch: "Orders answers before the revision does: grows with every take-over by a publisher.",
    instances: "Ordered by id.",
  },
  Services: {
    services: "Ordered by name. Counts may lag some seconds.",
    next: "The `cursor` of the next page, if there is one.",
  },
  Problem: {
    code: "The kind of error.",
    detail: "What is wrong, and how to mend it.",
    errors: "Every rule that was broken.",
  },
};

const SCHEMAS: Readonly<Record<string, v.GenericSchema>> = {
  Instance: instanceSchema,
  Service: serviceAnswerSchema,
  Pick: pickAnswerSchema,
  Services: servicesAnswerSchema,
  Resolved: resolveAnswerSchema,
  Status: watchStatusSchema,
  Problem: problemSchema,
};

/** Where one schema stands inside another it is referred to instead. */
const SHARED = ["Instance", "Service"];

export function schemaComponents(): Readonly<Record<string, JsonSchema>> {
  const converted = Object.fromEntries(Object.entries(SCHEMAS).map(([name, schema]) => [name, convert(schema)]));
  const references = new Map(SHARED.map((name) => [JSON.stringify(converted[name]), `#/components/schemas/${name}`]));
  return Object.fromEntries(
    Object.entries(converted).map(([name, schema]) => [name, describe(name, refer(schema, references, true))]),
  );
}

function convert(schema: v.GenericSchema): JsonSchema {
  const { $schema: _dialect, ...rest } = toJsonSchema(schema, { target: "draft-2020-12" });
  return JSON.parse(JSON.stringify(rest, concise)) as JsonSchema;
}

/** Leaves out what says nothing: that a name is a string, and where the numbers of JavaScript end. */
function concise(key: string, value: unknown): unknown {
  return key === "propertyNames" || (key === "maximum" && value === Number.MAX_SAFE_INTEGER) ? undefined : value;
}

/** Replaces what stands among the references, but for the schema itself. */
function refer<T>(value: T, references: ReadonlyMap<string, string>, top = false): T {
  if (typeof value !== "object" || value === null) return value;
  const reference = top ? undefined : references.get(JSON.stringify(value));
  if (reference !== undefined) return { $ref: reference } as T;
  if (Array.isArray(value)) return value.map((item: unknown) => refer(item, references)) as T;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, refer<unknown>(member, references)]),
  ) as T;
}

function describe(name: string, schema: JsonSchema): JsonSchema {
  const texts = FIELDS[name] ?? {};
  const { properties = {} } = schema;
  const absent = Object.keys(texts).filter((field) => properties[field] === undefined);
  if (absent.length > 0) throw new Error(`${name} has no ${absent.join(", ")} that could be described`);
  const described = Object.entries(properties).map(([field, property]) => {
    const description = texts[field];
    return [field, description === undefined ? property : { description, ...property }] as const;
  });
  return { ...schema, properties: Object.fromEntries(described) };
}
