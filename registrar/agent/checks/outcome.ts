import { codeOf, isOwnFault } from "../../net/connect.ts";

/** What one check has come to. Reasons are codes and words of ours, never text of the other side. */
export type CheckOutcome =
  | { readonly type: "passed" }
  | { readonly type: "failed"; readonly reason: string }
  /** It says nothing of the instance: this side could not ask, or stood still while the answer came. */
  | { readonly type: "void"; readonly reason: string };

/** Characters of a reason at most: it goes into the registration, as its cause. */
export const REASON_LENGTH_MAX = 64;

/** The system's resolver got no answer itself: no name can be looked up, and that is not the fault of the one asked for. */
const NO_NAME_SERVICE = "EAI_AGAIN";
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "name not known",
};

export const passed: CheckOutcome = { type: "passed" };

export const stoodStill: CheckOutcome = { type: "void", reason: "this process stood still" };

export const nameUnanswered: CheckOutcome = { type: "void", reason: "its name was not looked up in time" };

export function failed(reason: string): CheckOutcome {
  return { type: "failed", reason: reason.slice(0, REASON_LENGTH_MAX) };
}

/** What an error of a connection, a handshake or a look-up says of the instance. */
export function outcomeOfError(error: unknown): CheckOutcome {
  const code = codeOf(error);
  if (isOwnFault(error) || code === NO_NAME_SERVICE) return { type: "void", reason: code };
  return failed(WORDS[code] ?? (/^[A-Z][A-Z0-9_]*$/.test(code) ? `error ${code}` : "error"));
}
