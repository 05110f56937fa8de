/**
 * `invalid_argument`: a name, filter, path or option is wrong, here or by the resolver's judgement.
 * `unauthenticated`, `permission_denied`: the token, or what it may see.
 * `not_found`: the resolver knows that there is no such service.
 * `no_instance`: the service has no instance that matches.
 * `unsupported_protocol`: the instance does not speak HTTP, so it cannot be fetched from.
 * `rate_limited`: the resolver asks to come back after `retryAfterMs`, and nothing is held meanwhile.
 * `timeout`, `unavailable`: the resolver did not answer in time, or not properly, and nothing is held.
 * `unreachable`: no instance that was tried could be reached; `cause` is the last failure.
 */
export type ResolveErrorCode =
  | "invalid_argument"
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "no_instance"
  | "unsupported_protocol"
  | "rate_limited"
  | "timeout"
  | "unavailable"
  | "unreachable";

export interface ResolveErrorOptions {
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** The only error the client makes. No message holds the token. */
export class ResolveError extends Error {
  override readonly name = "ResolveError";
  readonly code: ResolveErrorCode;
  /** When the same call may succeed, milliseconds from now, if the resolver said so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ResolveErrorCode, message: string, { retryAfterMs, cause }: ResolveErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}
