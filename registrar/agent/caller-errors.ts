import type { InstanceRef } from "../../contract/etcd-keys.ts";
import { DeadlineExceeded } from "../../kernel/deadline.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { EtcdDenied, EtcdError, EtcdExhausted, type EtcdErrorCode } from "../etcd/port.ts";

/** After this an unreachable etcd is worth another try. */
const RETRY_AFTER_SECONDS = 2;

const details: Readonly<Partial<Record<EtcdErrorCode, string>>> = {
  unavailable: "etcd cannot be reached.",
  lease_not_found: "The lease ended under the write.",
  unauthenticated: "etcd refuses the registrar's credentials.",
  permission_denied: "The registrar's etcd role does not allow this.",
};

/** What a caller of the agent is told: what to do, and nothing of etcd's own text. */
export function toCallerError(error: unknown): FingerpostError {
  if (error instanceof DeadlineExceeded) return unavailable("etcd did not answer in time.", error);
  if (error instanceof EtcdDenied) return unavailable(`${details.permission_denied} ${error.advice}`, error);
  const detail = error instanceof EtcdError ? (exhaustion(error) ?? details[error.code]) : undefined;
  if (detail === undefined) return FingerpostError.from(error);
  const retryInMs = error instanceof EtcdError ? error.retryInMs : undefined;
  return unavailable(detail, error, retryInMs === undefined ? RETRY_AFTER_SECONDS : Math.ceil(retryInMs / 1000));
}

/** Also of a call that was not sent because those before it failed so. */
function exhaustion(error: EtcdError): string | undefined {
  return [error, error.cause].find((each) => each instanceof EtcdExhausted)?.advice;
}

export function unavailable(
  message: string,
  cause?: unknown,
  retryAfterSeconds: number = RETRY_AFTER_SECONDS,
): FingerpostError {
  return new FingerpostError("unavailable", message, { retryAfterSeconds, cause });
}

export function mustRegister({ service, instance }: InstanceRef): FingerpostError {
  const message = `Instance "${instance}" of "${service}" is not registered here: register again.`;
  return new FingerpostError("not_found", message);
}

export function isTaken({ service, instance }: InstanceRef): FingerpostError {
  return new FingerpostError("conflict", `Another agent has instance "${instance}" of "${service}".`);
}

export function isFromFile({ service, instance }: InstanceRef): FingerpostError {
  const message = `Instance "${instance}" of "${service}" comes from the registrar's configuration file: change it there, and send SIGHUP.`;
  return new FingerpostError("conflict", message);
}
