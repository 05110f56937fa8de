import * as v from "valibot";
import { FingerpostError, type Violation } from "../kernel/errors.ts";

/** Checks `value` against `schema`; throws `invalid_argument` that lists every broken rule by JSON Pointer. */
export function parseWith<const Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  message: string,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw new FingerpostError("invalid_argument", message, { violations: violationsOf(parsed.issues) });
}

/** An object that is not an array: valibot's own object schemas take arrays too. */
export function plainObject(message: string) {
  return v.custom<Record<string, unknown>>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    message,
  );
}

/** valibot's issues as violations: where, and the rule. */
export function violationsOf(issues: readonly v.BaseIssue<unknown>[]): Violation[] {
  return issues.map((issue) => ({
    pointer: (issue.path ?? []).map((item) => `/${escapePointer(String(item.key))}`).join(""),
    detail: detailOf(issue),
  }));
}

function detailOf(issue: v.BaseIssue<unknown>): string {
  if (issue.kind === "schema" && issue.type === "strict_object") {
    if (issue.expected === "never") return "is not a known field";
    return "is required";
  }
  return issue.message;
}

function escapePointer(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}
