import { until } from "../../support/until.ts";
import type { EtcdCluster, EtcdMember } from "../fleet/fleet.ts";

/** Another fault may keep them from it, for no longer than this. */
const ELECTED_WITHIN_MS = 40_000;

/**
 * Every member that runs knows a leader: etcd is whole again only then, and what it takes until then, some seconds where
 * a member comes back with a higher term, is not the product's.
 */
export async function elected({ members }: EtcdCluster): Promise<void> {
  await until(
    "every member of etcd that runs knows a leader",
    async () => {
      const running = members.filter((member) => member.state() === "running");
      return (await Promise.all(running.map(knowsLeader))).every(Boolean);
    },
    { timeoutMs: ELECTED_WITHIN_MS },
  );
}

async function knowsLeader({ url }: EtcdMember): Promise<boolean> {
  const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) });
  return ((await response.json()) as { readonly health?: string }).health === "true";
}
