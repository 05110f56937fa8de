import type { Context } from "hono";
import type { InstanceRef } from "../../contract/etcd-keys.ts";
import { isName, NAME_RULE } from "../../contract/names.ts";
import { FingerpostError, type Violation } from "../../kernel/errors.ts";

/** Instances on one page of a list: about a megabyte of JSON at the usual size of a registration. */
const PAGE_LIMIT_MAX = 1000;
const PAGE_LIMIT_DEFAULT = 100;
const CURSOR_PATTERN = /^[A-Za-z0-9._-]{1,128}\/[A-Za-z0-9._-]{1,128}$/;

export interface ListQuery {
  readonly namespace: string;
  readonly service: string | undefined;
  readonly cursor: string | undefined;
  readonly limit: number;
}

/** The instance a path names. Throws `invalid_argument` with every name that breaks the rule. */
export function readRef(context: Context, namespaceDefault: string): InstanceRef {
  const ref = {
    namespace: context.req.param("namespace") ?? namespaceDefault,
    service: context.req.param("service") ?? "",
    instance: context.req.param("instance") ?? "",
  };
  refuse(Object.entries(ref).flatMap(([parameter, value]) => nameViolations(parameter, value)));
  return ref;
}

/** What a list is asked for. Throws `invalid_argument` with every broken rule; parameters nobody knows are refused. */
export function readListQuery(context: Context, namespaceDefault: string): ListQuery {
  const namespace = context.req.param("namespace") ?? namespaceDefault;
  const query = context.req.queries();
  const violations = nameViolations("namespace", namespace);
  for (const [parameter, values] of Object.entries(query)) {
    if (!["service", "cursor", "limit"].includes(parameter)) {
      violations.push({ parameter, detail: "is not a known parameter" });
    } else if (values.length > 1) {
      violations.push({ parameter, detail: "must not repeat" });
    }
  }
  const [service] = query["service"] ?? [];
  const [cursor] = query["cursor"] ?? [];
  const [limitText = String(PAGE_LIMIT_DEFAULT)] = query["limit"] ?? [];
  const limit = /^\d{1,6}$/.test(limitText) ? Number(limitText) : 0;
  if (service !== undefined) violations.push(...nameViolations("service", service));
  if (cursor !== undefined && !CURSOR_PATTERN.test(cursor)) {
    violations.push({ parameter: "cursor", detail: "must be the next of an earlier page" });
  }
  if (limit < 1 || limit > PAGE_LIMIT_MAX) {
    violations.push({ parameter: "limit", detail: `must be 1 to ${PAGE_LIMIT_MAX}` });
  }
  refuse(violations);
  return { namespace, service, cursor, limit };
}

function nameViolations(parameter: string, value: string): Violation[] {
  return isName(value) ? [] : [{ parameter, detail: NAME_RULE }];
}

function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) {
    throw new FingerpostError("invalid_argument", "A parameter is not valid.", { violations });
  }
}
