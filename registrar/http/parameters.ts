import type { Context } from "hono";
import type { InstanceRef } from "../../contract/etcd-keys.ts";
import { isName, NAME_RULE } from "../../contract/names.ts";
import { FingerpostError, type Violation } from "../../kernel/errors.ts";

/** Instances on one page of a list: about a megabyte of JSON at the usual size of a registration. */
const PAGE_LIMIT_MAX = 1000;
const PAGE_LIMIT_DEFAULT = 100;
const LIST_PARAMETERS = ["service", "cursor", "limit"];
const CURSOR_PATTERN = /^[A-Za-z0-9._-]{1,128}\/[A-Za-z0-9._-]{1,128}$/;
/** Namespace, service and id. */
const GUARD_CURSOR_PATTERN = /^[A-Za-z0-9._-]{1,128}(\/[A-Za-z0-9._-]{1,128}){2}$/;
const CURSOR_VIOLATION: Violation = { parameter: "cursor", detail: "must be the next of an earlier page" };
const LIMIT_VIOLATION: Violation = { parameter: "limit", detail: `must be 1 to ${PAGE_LIMIT_MAX}` };

export interface ListQuery {
  readonly namespace: string;
  readonly service: string | undefined;
  readonly cursor: string | undefined;
  readonly limit: number;
}

/**
 * The instance a path names. Throws `invalid_argument` with every name that breaks the rule, and with every parameter of
 * the query: what is done to one instance takes none, and would leave them out in silence.
 */
export function readRef(context: Context, namespaceDefault: string): InstanceRef {
  const ref = {
    namespace: context.req.param("namespace") ?? namespaceDefault,
    service: context.req.param("service") ?? "",
    instance: context.req.param("instance") ?? "",
  };
  const violations = Object.entries(ref).flatMap(([parameter, value]) => nameViolations(parameter, value));
  refuse([...violations, ...unknownParameters(queryOf(context), [])]);
  return ref;
}

/** What a list is asked for. Throws `invalid_argument` with every broken rule; parameters nobody knows are refused. */
export function readListQuery(context: Context, namespaceDefault: string): ListQuery {
  const namespace = context.req.param("namespace") ?? namespaceDefault;
  const query = queryOf(context);
  const violations = [
    ...nameViolations("namespace", namespace),
    ...unknownParameters(query, LIST_PARAMETERS),
    ...repeated(query, LIST_PARAMETERS),
  ];
  const service = query.get("service") ?? undefined;
  const cursor = query.get("cursor") ?? undefined;
  const limit = readLimit(query);
  if (service !== undefined) violations.push(...nameViolations("service", service));
  if (cursor !== undefined && !CURSOR_PATTERN.test(cursor)) violations.push(CURSOR_VIOLATION);
  if (limit === undefined) violations.push(LIMIT_VIOLATION);
  refuse(violations);
  return { namespace, service, cursor, limit: limit ?? PAGE_LIMIT_DEFAULT };
}

/** What to look at of what is held back: with a service and no namespace, that of the default one. */
export interface GuardRouteQuery {
  readonly namespace: string | undefined;
  readonly service: string | undefined;
  readonly cursor: string | undefined;
  readonly limit: number;
}

/** Throws `invalid_argument` with every broken rule. The pages of a list are asked for only where `isPaged`. */
export function readGuardQuery(
  context: Context,
  namespaceDefault: string,
  { isPaged }: { readonly isPaged: boolean },
): GuardRouteQuery {
  const inPath = context.req.param("namespace");
  const query = queryOf(context);
  const known = [...(inPath === undefined ? ["namespace"] : []), "service", ...(isPaged ? ["cursor", "limit"] : [])];
  const violations = [...unknownParameters(query, known), ...repeated(query, known)];
  const namespaceGiven = inPath ?? query.get("namespace") ?? undefined;
  const service = query.get("service") ?? undefined;
  const namespace = namespaceGiven ?? (service === undefined ? undefined : namespaceDefault);
  const cursor = query.get("cursor") ?? undefined;
  const limit = readLimit(query);
  if (namespace !== undefined) violations.push(...nameViolations("namespace", namespace));
  if (service !== undefined) violations.push(...nameViolations("service", service));
  if (cursor !== undefined && !GUARD_CURSOR_PATTERN.test(cursor)) violations.push(CURSOR_VIOLATION);
  if (limit === undefined) violations.push(LIMIT_VIOLATION);
  refuse(violations);
  return { namespace, service, cursor, limit: limit ?? PAGE_LIMIT_DEFAULT };
}

function repeated(query: URLSearchParams, parameters: readonly string[]): Violation[] {
  const repeating = parameters.filter((parameter) => query.getAll(parameter).length > 1);
  return repeating.map((parameter) => ({ parameter, detail: "must not repeat" }));
}

/** Undefined when it is out of bounds. */
function readLimit(query: URLSearchParams): number | undefined {
  const text = query.get("limit") ?? String(PAGE_LIMIT_DEFAULT);
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  return limit < 1 || limit > PAGE_LIMIT_MAX ? undefined : limit;
}

/** Not Hono's own reading, an object that does not show a parameter named `__proto__`. */
function queryOf(context: Context): URLSearchParams {
  return new URL(context.req.url).searchParams;
}

function unknownParameters(query: URLSearchParams, known: readonly string[]): Violation[] {
  const unknown = [...new Set(query.keys())].filter((parameter) => !known.includes(parameter));
  return unknown.map((parameter) => ({ parameter, detail: "is not a known parameter" }));
}

function nameViolations(parameter: string, value: string): Violation[] {
  return isName(value) ? [] : [{ parameter, detail: NAME_RULE }];
}

function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) {
    throw new FingerpostError("invalid_argument", "A parameter is not valid.", { violations });
  }
}
