import type { ErrorCode, FingerpostError, Violation } from "../kernel/errors.ts";

/** A body of `application/problem+json` (RFC 9457). `code` and `errors` are our extension members. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly errors?: readonly Violation[];
}

export const PROBLEM_CONTENT_TYPE = "application/problem+json";

const problems: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  invalid_argument: [400, "Invalid request"],
  unauthenticated: [401, "Unauthenticated"],
  permission_denied: [403, "Permission denied"],
  not_found: [404, "Not found"],
  method_not_allowed: [405, "Method not allowed"],
  conflict: [409, "Conflict"],
  unsupported_media_type: [415, "Unsupported media type"],
  misdirected: [421, "Misdirected request"],
  resource_exhausted: [429, "Too many requests"],
  internal: [500, "Internal error"],
  unavailable: [503, "Unavailable"],
};

export const ERROR_CODES = Object.keys(problems) as readonly ErrorCode[];

export function problemStatus(code: ErrorCode): number {
  return problems[code][0];
}

export function toProblem(error: FingerpostError): Problem {
  const [status, title] = problems[error.code];
  return {
    type: `urn:fingerpost:problem:${error.code.replaceAll("_", "-")}`,
    title,
    status,
    code: error.code,
    detail: error.message,
    ...(error.violations.length > 0 ? { errors: error.violations } : {}),
  };
}

/** The whole answer: status, body, and Retry-After and WWW-Authenticate where they belong. */
export function problemResponse(error: FingerpostError): Response {
  const problem = toProblem(error);
  const headers = new Headers({ "Content-Type": PROBLEM_CONTENT_TYPE, "Cache-Control": "no-store" });
  if (error.retryAfterSeconds !== undefined) headers.set("Retry-After", String(error.retryAfterSeconds));
  if (error.code === "unauthenticated") headers.set("WWW-Authenticate", 'Bearer realm="fingerpost"');
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}
