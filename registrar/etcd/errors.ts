import { status as grpcStatus, type StatusObject } from "@grpc/grpc-js";
import { EtcdError, EtcdExhausted, type EtcdErrorCode } from "./port.ts";

/** What is read of a gRPC status. */
export type CallStatus = Pick<StatusObject, "code" | "details">;

export interface CallFailure {
  readonly error: EtcdError;
  /** The token that the call carried is not, or no longer, good: the same call may pass with another. */
  readonly tokenRefused: boolean;
  /** The call's own deadline passed, which says less about a member than a refused connection does. */
  readonly timedOut: boolean;
  /** An answer of the member, though no success: another one would give the same, as when etcd is full or has too much. */
  readonly answered: boolean;
}

/** Texts, because the codes differ between etcd's versions: the second comes as 2 or 3, the third as 3 or 16. */
const TOKEN_REFUSALS = [
  "invalid auth token",
  "revision of auth store is old",
  "user name is empty",
  "user name not found",
];

const codes: ReadonlyMap<grpcStatus, EtcdErrorCode> = new Map([
  [grpcStatus.INVALID_ARGUMENT, "invalid"],
  [grpcStatus.NOT_FOUND, "invalid"],
  [grpcStatus.ALREADY_EXISTS, "invalid"],
  [grpcStatus.PERMISSION_DENIED, "permission_denied"],
  [grpcStatus.FAILED_PRECONDITION, "invalid"],
  [grpcStatus.OUT_OF_RANGE, "compacted"],
  [grpcStatus.UNIMPLEMENTED, "invalid"],
  [grpcStatus.UNAUTHENTICATED, "unauthenticated"],
]);

/** Maps the end of a call. Whatever has no code of its own counts as `unavailable`: the fault is not in the request. */
export function toFailure({ code, details }: CallStatus, method: string): CallFailure {
  const tokenRefused =
    TOKEN_REFUSALS.some((text) => details.includes(text)) ||
    (code === grpcStatus.UNAUTHENTICATED && !isWrongPassword(details));
  const message = `etcd ${method}: ${details}`;
  const error =
    code === grpcStatus.RESOURCE_EXHAUSTED
      ? new EtcdExhausted(message)
      : new EtcdError(errorCode(code, details, tokenRefused), message);
  return {
    error,
    tokenRefused,
    timedOut: code === grpcStatus.DEADLINE_EXCEEDED,
    answered: error.code !== "unavailable" || error instanceof EtcdExhausted,
  };
}

/** Authentication is off at the server, so calls need no token. */
export function isAuthDisabled(error: unknown): boolean {
  return error instanceof EtcdError && error.message.includes("authentication is not enabled");
}

function errorCode(code: grpcStatus, details: string, tokenRefused: boolean): EtcdErrorCode {
  if (tokenRefused || isWrongPassword(details)) return "unauthenticated";
  if (details.includes("requested lease not found")) return "lease_not_found";
  // The same code as for a revision that is compacted.
  if (details.includes("required revision is a future revision")) return "future";
  return codes.get(code) ?? "unavailable";
}

function isWrongPassword(details: string): boolean {
  return details.includes("authentication failed");
}
