import type { Check } from "../../contract/check.ts";
import type { Registration } from "../../contract/registration.ts";
import { REASON_LENGTH_MAX } from "./checks/outcome.ts";
import { withStatus } from "./held.ts";

/** The cause of an instance that is down because it fell silent. */
export const HEARTBEAT_CAUSE = "heartbeat";
const CHECK_CAUSE_PREFIX = "check: ";
const UNTRIED_CAUSE = `${CHECK_CAUSE_PREFIX}no success yet`;
/** As long as the longest, for which a registration must leave room. */
export const LONGEST_CHECK_CAUSE = CHECK_CAUSE_PREFIX + "x".repeat(REASON_LENGTH_MAX);

/** The cause of an instance that is down because its check failed. */
export function checkCause(reason: string): string {
  return CHECK_CAUSE_PREFIX + reason;
}

/** Whether an instance that is down was never judged by a check, so that its first success is enough. */
export function isUntried({ cause = "" }: Registration): boolean {
  return cause === UNTRIED_CAUSE || !cause.startsWith(CHECK_CAUSE_PREFIX);
}

/**
 * An instance that asks to be up, as its check has it: what was there at the same place stays up or down, and a new one
 * is down until its first success unless its check says otherwise, since nobody knows yet whether it answers.
 */
export function asChecked(wanted: Registration, before: Registration | undefined, check: Check): Registration {
  if (wanted.status !== "up") return wanted;
  const isThere = before?.address === wanted.address && before.port === wanted.port && before.status !== "draining";
  const isUp = isThere ? before.status === "up" : check.initial === "up";
  if (isUp) return wanted;
  return withStatus(wanted, "down", isThere && !isUntried(before) ? before.cause : UNTRIED_CAUSE);
}
