import { PROBLEM_CONTENT_TYPE, problemStatus, toProblem } from "../contract/problem.ts";
import { FingerpostError, type ErrorCode } from "../kernel/errors.ts";
import { headerReferences, reference } from "./references.ts";

interface ProblemText {
  readonly key: string;
  readonly description: string;
  readonly headers?: readonly string[];
  readonly example?: FingerpostError;
}

/** The errors that a lookup can end in. */
const PROBLEMS: Partial<Record<ErrorCode, ProblemText>> = {
  invalid_argument: {
    key: "InvalidArgument",
    description: "Names or parameters are not valid: each that breaks a rule is named.",
    example: new FingerpostError("invalid_argument", "The query is not valid.", {
      violations: [{ parameter: "color", detail: "is not a known parameter" }],
    }),
  },
  unauthenticated: {
    key: "Unauthenticated",
    description: "No valid credential.",
    headers: ["WWW-Authenticate"],
  },
  permission_denied: {
    key: "PermissionDenied",
    description: "Outside the credential's scopes, whether it exists or not.",
  },
  not_found: {
    key: "NotFound",
    description: "No such service or namespace: never because something failed.",
  },
  resource_exhausted: {
    key: "ResourceExhausted",
    description: "Asked for too often.",
    headers: ["Retry-After"],
  },
  unavailable: {
    key: "Unavailable",
    description: "Nothing is known of it for the moment, or no instance matches.",
    headers: ["Retry-After"],
  },
};

export function responseNames(code: ErrorCode): { readonly status: number; readonly key: string } {
  const problem = PROBLEMS[code];
  if (!problem) throw new Error(`${code} is not described in generate/problems.ts`);
  return { status: problemStatus(code), key: problem.key };
}

export function problemComponents(): object {
  return Object.fromEntries(
    Object.values(PROBLEMS).map(({ key, description, headers = [], example }) => [
      key,
      {
        description,
        headers: headerReferences(["Cache-Control", ...headers]),
        content: {
          [PROBLEM_CONTENT_TYPE]: {
            schema: reference("schemas", "Problem"),
            ...(example ? { example: toProblem(example) } : {}),
          },
        },
      },
    ]),
  );
}
