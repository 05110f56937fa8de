import { encodeRegistration, type RegistrationRequest } from "../../contract/registration.ts";
import { refuseUnreachable } from "../net/target.ts";
import { HEARTBEAT_CAUSE, LONGEST_CHECK_CAUSE } from "./causes.ts";
import { toRegistration, withStatus, type Liveness } from "./held.ts";

/** Throws `invalid_argument` for what could never be registered as it is, or not be put as down when it must be. */
export function refuseUnfit(instance: string, request: RegistrationRequest, by: Liveness): void {
  // Any time is as long as any other.
  const registration = toRegistration(instance, request, new Date(0).toISOString());
  // It must still fit when it is down, which adds a cause.
  encodeRegistration(withStatus(registration, "down", by.type === "check" ? LONGEST_CHECK_CAUSE : HEARTBEAT_CAUSE));
  if (by.type === "check") refuseUnreachable(request.address);
}
