import { OPERATION_NAMES, OPERATIONS, type OperationName } from "../src/http/operations.ts";
import { aName, type Parameter, type ParameterTable } from "../src/http/parameters.ts";

interface ParameterText {
  /** In sentences; the rule is added from the table. */
  readonly description: string;
  readonly example: unknown;
}

type ParameterName = {
  [Name in OperationName]: keyof (typeof OPERATIONS)[Name]["parameters"] & string;
}[OperationName];

/** What each parameter is for. One that is not described here does not compile. */
const TEXTS: Readonly<Record<ParameterName, ParameterText>> = {
  service: { description: "A service; repeat it for several.", example: ["web", "api"] },
  version: { description: "Only instances with a semantic version in this range.", example: "^1.4" },
  tag: { description: "Only instances with this tag; all of them where it repeats.", example: ["public"] },
  region: { description: "Only instances of this region.", example: "eu-central" },
  zone: { description: "Only instances of this zone.", example: "eu-central-1" },
  meta: {
    description: "`meta.{key}={value}`: only instances with this value under this key of their metadata.",
    example: { "meta.team": "edge" },
  },
  health: {
    description: "`healthy`: up. `healthy-or-all`: up or suspect, or else all that are not down. `all`: every one.",
    example: "healthy",
  },
  near: {
    description: "The nearest first: of this zone, then of its region, then the rest. `auto`: near to the caller.",
    example: "auto",
  },
  limit: { description: "Instances at most, after every filter. A pick is among these.", example: 10 },
  key: {
    description: "The same key, the same instance, while that is there. Without: at random by weight.",
    example: "user-42",
  },
  revision: {
    description:
      "What the caller has: a long poll ends when the service's is greater. From 0 it waits for a service to appear.",
    example: 48,
  },
  wait: { description: "How long a long poll waits; `30s` if left out.", example: "30s" },
  cursor: { description: "The `next` of the page before.", example: "web" },
};

/** Where a name means something else in one operation than in the others. */
const TEXTS_OF_ONE: Readonly<Record<string, ParameterText>> = {
  "services.limit": { description: "Names in a page at most.", example: 100 },
};

/** What a request may say in its headers. */
const REQUEST_HEADERS = {
  "If-None-Match": { description: "An ETag: 304 while that is still the answer.", example: '"1-mi8orr9o-1c"' },
  "Cache-Control": { description: "`no-cache` has Redis read again, if not asked too often.", example: "no-cache" },
  "Last-Event-ID": { description: "The revision of the last event: a stream goes on from there.", example: "48" },
};

export type RequestHeader = keyof typeof REQUEST_HEADERS;

/** The component that describes a parameter of an operation; operations that take the same one share it. */
export function parameterKey(operation: OperationName, name: string): string {
  const own = `${operation}.${name}`;
  return TEXTS_OF_ONE[own] ? own : name;
}

export function parameterComponents(): object {
  const components: Record<string, object> = {
    "path.service": pathParameter("service", "A service.", "web"),
    "path.namespace": pathParameter("namespace", "A namespace.", "default"),
  };
  for (const [name, { description, example }] of Object.entries(REQUEST_HEADERS)) {
    components[`header.${name}`] = { name, in: "header", description, schema: { type: "string" }, example };
  }
  const described = new Map<string, Parameter>();
  for (const operation of OPERATION_NAMES) {
    const table: ParameterTable = OPERATIONS[operation].parameters;
    for (const [name, parameter] of Object.entries(table)) {
      const key = parameterKey(operation, name);
      const same = described.get(key);
      if (same && same !== parameter) {
        throw new Error(`${operation}.${name} is another parameter than ${key}: describe it in TEXTS_OF_ONE`);
      }
      described.set(key, parameter);
      components[key] = queryParameter(name, parameter, TEXTS_OF_ONE[key] ?? TEXTS[name as ParameterName]);
    }
  }
  return components;
}

export function pathParameterKeys(path: string): readonly string[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => `path.${name}`);
}

function pathParameter(name: string, description: string, example: string): object {
  const { schema, rule } = aName;
  return { name, in: "path", required: true, description: `${description} ${sentence(rule)}`, schema, example };
}

function queryParameter(name: string, parameter: Parameter, { description, example }: ParameterText): object {
  const { schema, rule } = parameter.value;
  const common = { name, in: "query", description: `${description} ${sentence(rule)}`, example };
  switch (parameter.type) {
    case "one": {
      const { fallback } = parameter;
      return { ...common, schema: fallback === undefined ? schema : { ...schema, default: fallback } };
    }
    case "many": {
      const { timesMin, timesMax } = parameter;
      const bounds = { ...(timesMin > 0 ? { minItems: timesMin } : {}), maxItems: timesMax };
      const items = { type: "array", items: schema, ...bounds };
      return timesMin > 0 ? { ...common, required: true, schema: items } : { ...common, schema: items };
    }
    case "family": {
      const members = { [`^${name}\\..`]: schema };
      const object = { type: "object", patternProperties: members, additionalProperties: false };
      // Of a query, an object stands as parameters of its members' names: style form, exploded, by default.
      return { ...common, schema: object };
    }
  }
}

function sentence(rule: string): string {
  return `${rule.charAt(0).toUpperCase()}${rule.slice(1)}.`;
}
