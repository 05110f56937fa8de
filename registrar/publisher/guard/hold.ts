import type { Hold } from "../../../contract/holds.ts";
import type { Registration } from "../../../contract/registration.ts";
import {
  LEASE_TTL_SECONDS_ASSUMED,
  ROUNDS_REFUSED,
  ROUNDS_REFUSED_LAST,
  ROUNDS_SILENT,
  TTLS_RETURNED,
  TTLS_RETURNED_LAST,
  TTLS_UNRENEWED,
} from "./limits.ts";
import type { AgentPresence } from "./sentinels.ts";

/** How a hold ended. */
export const EXITS = ["registered", "agent-returned", "probes", "deadline", "operator"] as const;
export type Exit = (typeof EXITS)[number];

/** What a probe of a held instance came to. `refused`: its host answers that nothing listens there. */
export type ProbeResult = "answered" | "refused" | "silent";

/** What the instances that etcd still has told of the network, in one round of probes. */
export interface Evidence {
  /** Live instances answered us at all, so a refusal is the host's and not of a network that refuses everything. */
  readonly refusals: boolean;
  /** Live instances of the same zone answered, so silence is the host's and not of a zone that we are cut off from. */
  readonly silence: boolean;
}

/** An instance that is held back. */
export interface HeldInstance {
  readonly hold: Hold;
  /** Published with the status `suspect`. */
  readonly registration: Registration;
  /** Its agent lives and called it down: that the agent is there then says nothing new. */
  readonly calledDown: boolean;
  /** Monotonic; the deadline of `hold` for this process, whatever the wall clock does. */
  readonly endsAtMs: number;
  /** Rounds of probes in a row that were refused, and that failed in any way. */
  refusals: number;
  failures: number;
  lastProbe: ProbeResult | undefined;
}

/** Takes the result of one probe; true when the hold ends by it. */
export function probed(held: HeldInstance, result: ProbeResult, evidence: Evidence, isLast: boolean): boolean {
  held.lastProbe = result;
  if (result === "answered") {
    held.refusals = 0;
    held.failures = 0;
    return false;
  }
  const counts = result === "refused" ? evidence.refusals : evidence.silence;
  if (!counts) return false;
  held.failures++;
  held.refusals = result === "refused" ? held.refusals + 1 : 0;
  if (isLast) return held.refusals >= ROUNDS_REFUSED_LAST;
  return held.refusals >= ROUNDS_REFUSED || held.failures >= ROUNDS_SILENT;
}

/**
 * Whether the agent of a held instance has been back for long enough to have registered it again. A sentinel that is
 * older than the hold may be of a lease that nobody renews any more, which ends later than the other did: it tells
 * nothing before it has outlived that. `confirmedAtMs`: up to when the watch is known to have told everything; what an
 * agent did later may not have come through. All by the wall clock.
 */
export function agentReturned(
  { hold, calledDown, lastProbe }: HeldInstance,
  presence: AgentPresence | undefined,
  confirmedAtMs: number,
  isLast: boolean,
): boolean {
  if (calledDown || presence === undefined) return false;
  // An agent that began without a state hears of an instance with its next heartbeat, which may be many TTLs away.
  if (isLast && lastProbe === "answered") return false;
  const { newestMs, ttlSeconds } = presence;
  const sinceMs = newestMs >= hold.since ? newestMs : hold.since + ttlSeconds * 1000 * TTLS_UNRENEWED;
  const ttlMs = (hold.ttlSeconds ?? LEASE_TTL_SECONDS_ASSUMED) * 1000;
  return confirmedAtMs - sinceMs >= ttlMs * (isLast ? TTLS_RETURNED_LAST : TTLS_RETURNED);
}
