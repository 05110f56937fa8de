import * as v from "valibot";
import { problemStatus } from "../../contract/problem.ts";
import { FingerpostError, messageOf, type ErrorCode } from "../../kernel/errors.ts";

/** Longer than a registrar takes for its own answer, 503, when etcd is away. */
const CALL_TIMEOUT_MS = 10_000;

const problemSchema = v.object({
  code: v.string(),
  detail: v.string(),
  errors: v.optional(v.array(v.object({ pointer: v.exactOptional(v.string()), detail: v.string() }))),
});

const CODES = [
  "invalid_argument",
  "unauthenticated",
  "permission_denied",
  "not_found",
  "conflict",
  "resource_exhausted",
  "unavailable",
] as const satisfies readonly ErrorCode[];

/** One request. Rejects with the FingerpostError that the registrar's answer stands for, or `unavailable` without one. */
export type RegistrarCall = (method: string, path: string, body?: unknown) => Promise<void>;

export function createRegistrarCalls(options: {
  readonly url: string;
  readonly token: string | undefined;
  readonly fetch: typeof globalThis.fetch;
}): RegistrarCall {
  const base = options.url.replace(/\/+$/, "");
  return async (method, path, body) => {
    const headers = new Headers();
    if (options.token !== undefined) headers.set("Authorization", `Bearer ${options.token}`);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    let response: Response;
    let text: string;
    try {
      response = await options.fetch(`${base}${path}`, {
        method,
        headers,
        // A registrar does not redirect, and a token is not carried to where it was not meant for.
        redirect: "manual",
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (cause) {
      const message = `The registrar at ${new URL(base).origin} could not be reached: ${reasonOf(cause)}.`;
      throw new FingerpostError("unavailable", message, { cause });
    }
    if (!response.ok) throw refusalOf(response.status, text);
  };
}

function refusalOf(status: number, text: string): FingerpostError {
  const parsed = v.safeParse(problemSchema, parseJson(text));
  const code = CODES.find((known) => problemStatus(known) === status) ?? "unavailable";
  if (!parsed.success) {
    return new FingerpostError("unavailable", `What answers at the registrar's URL is no registrar: status ${status}.`);
  }
  const { detail, errors = [] } = parsed.output;
  return new FingerpostError(code, detail, { violations: errors });
}

/** fetch says only "fetch failed"; the reason is in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return messageOf(error);
  return "code" in cause ? String(cause.code) : cause.message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not a problem of ours, which the caller says.
    return undefined;
  }
}
