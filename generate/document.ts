import { HEADER_AGE_MS, HEADER_REVISION, HEADER_SOURCE, HEADER_STALE } from "../contract/http.ts";
import { PROBLEM_CONTENT_TYPE } from "../contract/problem.ts";
import type { ErrorCode } from "../kernel/errors.ts";
import packageJson from "../package.json" with { type: "json" };
import { OPERATION_NAMES, OPERATIONS, PREFIXES, type OperationName } from "../src/http/operations.ts";
import { ANSWERS, ANSWERS_WITHOUT_A_KEY, type Answer } from "./answers.ts";
import { headers } from "./headers.ts";
import { parameterComponents, pathParameterKeys, parameterKey } from "./parameters.ts";
import { problemComponents, responseNames } from "./problems.ts";
import { headerReferences, reference, references } from "./references.ts";
import { schemaComponents } from "./schemas.ts";

const INTRODUCTION = [
  "The live instances of services, as fresh as a second. When something fails, the answer is what was last known good,",
  "and says so. HEAD is answered too. Pass over fields that you do not know.",
].join(" ");

/** The headers of every lookup's answer; a tag only where the same question has the same answer. */
const PROVENANCE = [
  "Cache-Control",
  "Vary",
  "Cache-Status",
  "Age",
  HEADER_SOURCE,
  HEADER_REVISION,
  HEADER_AGE_MS,
  HEADER_STALE,
];
const PROBLEMS_OF_EVERY_LOOKUP: readonly ErrorCode[] = [
  "invalid_argument",
  "unauthenticated",
  "permission_denied",
  "not_found",
  "resource_exhausted",
  "unavailable",
];

/** The OpenAPI 3.1 document, made from the tables and schemas that the resolver itself reads and writes by. */
export function createDocument(): object {
  return {
    openapi: "3.1.1",
    info: { title: "Fingerpost resolver", version: packageJson.version, description: INTRODUCTION },
    // Relative to the document, so that it holds wherever the resolver is mounted.
    servers: [{ url: "." }],
    security: [{ key: [] }, { jwt: [] }],
    paths: Object.fromEntries([...lookupPaths(), ...pathsWithoutAKey()]),
    components: {
      securitySchemes: {
        key: { type: "http", scheme: "bearer", description: "A key of the resolver's; none where it is open." },
        jwt: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
      },
      parameters: parameterComponents(),
      headers,
      responses: {
        NotModified: notModified(["ETag", ...PROVENANCE]),
        Unchanged: notModified(["ETag", "Cache-Control"]),
        ...problemComponents(),
        Problem: {
          description: "405 for a method other than GET and HEAD, and whatever else goes wrong.",
          headers: headerReferences(["Cache-Control", "Allow"]),
          content: { [PROBLEM_CONTENT_TYPE]: { schema: reference("schemas", "Problem") } },
        },
      },
      schemas: schemaComponents(),
    },
  };
}

function lookupPaths(): readonly (readonly [path: string, item: object])[] {
  return OPERATION_NAMES.flatMap((name) =>
    PREFIXES.map((prefix) => {
      const path = prefix + OPERATIONS[name].path;
      return [
        path.replaceAll(/:(\w+)/g, "{$1}"),
        {
          parameters: references("parameters", pathParameterKeys(path)),
          get: { ...lookupOperation(name), operationId: prefix.includes(":") ? `${name}InNamespace` : name },
        },
      ] as const;
    }),
  );
}

function lookupOperation(name: OperationName): object {
  const { summary, description, requestHeaders = [], ...answer } = ANSWERS[name];
  const sent = ["Cache-Control", ...(answer.tagged ? ["If-None-Match"] : []), ...requestHeaders];
  return {
    summary,
    description,
    parameters: references("parameters", [
      ...Object.keys(OPERATIONS[name].parameters).map((parameter) => parameterKey(name, parameter)),
      ...sent.map((header) => `header.${header}`),
    ]),
    responses: {
      200: success(answer, [...(answer.tagged ? ["ETag"] : []), ...PROVENANCE]),
      ...(answer.tagged ? { 304: reference("responses", "NotModified") } : {}),
      ...problems(PROBLEMS_OF_EVERY_LOOKUP),
    },
  };
}

function pathsWithoutAKey(): readonly (readonly [path: string, item: object])[] {
  return Object.entries(ANSWERS_WITHOUT_A_KEY).map(([path, { summary, description, fails, ...answer }]) => {
    const get = {
      operationId: path.slice(1).replace(".json", ""),
      summary,
      ...(description === undefined ? {} : { description }),
      security: [],
      responses: {
        200: success(answer, [...(answer.tagged ? ["ETag"] : []), "Cache-Control"]),
        ...(answer.tagged ? { 304: reference("responses", "Unchanged") } : {}),
        ...problems(fails),
      },
    };
    return [path, { get }];
  });
}

function success({ says, content }: Answer, names: readonly string[]): object {
  return { description: says, headers: headerReferences(names), content };
}

function notModified(names: readonly string[]): object {
  return { description: "If-None-Match names what is still the answer.", headers: headerReferences(names) };
}

function problems(codes: readonly ErrorCode[]): object {
  const named = codes.map((code) => responseNames(code));
  return {
    ...Object.fromEntries(named.map(({ status, key }) => [status, reference("responses", key)])),
    default: reference("responses", "Problem"),
  };
}
