import type { HeldInstance } from "./hold.ts";
import { ROUNDS_REFUSED, ROUNDS_REFUSED_LAST, ROUNDS_SILENT } from "./limits.ts";

/** Why a hold still stands, a sentence each; for an operator's eyes. */
export function standingOf(held: Readonly<HeldInstance>, isLast: boolean, agentIsThere: boolean): readonly string[] {
  const { hold, calledDown, lastProbe, refusals, failures } = held;
  const reasons: string[] = [];
  if (isLast) reasons.push("Its service has no instance that etcd has as up, and the last go last.");
  if (calledDown) reasons.push("Its agent calls it down, as it did of too many others.");
  else if (hold.agent === undefined) reasons.push("Whose it was is not known.");
  else if (agentIsThere) reasons.push(`Its agent ${hold.agent} is there and has time to register it again.`);
  else reasons.push(`Its agent ${hold.agent} has not come back.`);
  if (lastProbe === undefined) reasons.push("It has not been probed yet.");
  else if (lastProbe === "answered") reasons.push("It answers probes.");
  else if (failures === 0) reasons.push(`Its probes come to nothing (${lastProbe}), as do those of others.`);
  else if (isLast) reasons.push(`Its host has refused ${refusals} of ${ROUNDS_REFUSED_LAST} probes in a row.`);
  else {
    reasons.push(`${failures} of ${ROUNDS_SILENT} probes in a row failed, ${refusals} of ${ROUNDS_REFUSED} refused.`);
  }
  return reasons;
}
