/**
 * The closed set of failures a caller can meet, whatever the process. `problemStatus` is the one place that maps them
 * to HTTP.
 */
export type ErrorCode =
  | "invalid_argument"
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "misdirected"
  | "unsupported_media_type"
  | "resource_exhausted"
  | "internal"
  | "unavailable";

/** One broken rule. `pointer` is a JSON Pointer (RFC 6901) into a body; `parameter` names a query or path parameter. */
export interface Violation {
  readonly pointer?: string;
  readonly parameter?: string;
  readonly detail: string;
}

export interface FingerpostErrorOptions {
  /** Every broken rule, when the input is at fault. */
  readonly violations?: readonly Violation[];
  /** Whole seconds after which the same call may succeed. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/**
 * The only error class that crosses a module boundary. `message` is meant for the caller: it names the offending value
 * and the fix, and never holds a secret, a Redis command or an internal address.
 */
export class FingerpostError extends Error {
  override readonly name = "FingerpostError";
  readonly code: ErrorCode;
  readonly violations: readonly Violation[];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: FingerpostErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.violations = options.violations ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** Keeps a FingerpostError as it is; anything else is our own defect, and its text stays out of the answer. */
  static from(error: unknown): FingerpostError {
    if (error instanceof FingerpostError) return error;
    return new FingerpostError("internal", "An internal error occurred.", { cause: error });
  }
}

/** The text of anything thrown, for logs. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
