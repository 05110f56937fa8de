import type { Head } from "../../contract/head.ts";

/**
 * Whether the ring of `next` tells every change since `previous`. If it does not, nothing read under `previous` may
 * count as current under `next`.
 */
export function continues(previous: Head, next: Head): boolean {
  if (previous.revision < next.ring.floor) return false;
  if (previous.epoch === next.epoch) return true;
  return carriesOver(previous, next);
}

/**
 * Whether a publisher of a later epoch took `previous` over, ring and all, rather than filled an empty Redis: revisions
 * of the two may then be anything to each other. Where Redis lost only its last writes, and in heads of earlier builds, it
 * is the entries that the ring kept which tell.
 */
function carriesOver(previous: Head, next: Head): boolean {
  if (previous.epoch < (next.lifeEpoch ?? 0)) return false;
  if (previous.identity !== next.identity || next.revision < previous.revision) return false;
  if (next.ring.floor < previous.ring.floor) return false;
  const revisions = new Map(next.ring.entries.map(([revision, service]) => [service, revision]));
  const kept = previous.ring.entries.filter(([revision]) => revision > next.ring.floor);
  if (!kept.every(([revision, service]) => (revisions.get(service) ?? 0) >= revision)) return false;
  return kept.length > 0 || next.ring.floor === previous.ring.floor;
}
