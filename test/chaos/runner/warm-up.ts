import { until } from "../../support/until.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { Instances } from "../traffic/instances.ts";
import type { ServiceAnswer } from "../../../contract/http.ts";

/** Until every instance is registered, and every resolver answers with all of them. */
export async function warmUp(
  fleet: Fleet,
  instances: Instances,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  await until("every instance is registered", () => signal.aborted || instances.unsettled().length === 0, {
    timeoutMs,
  });
  const headers = { authorization: `Bearer ${fleet.lookupToken}` };
  for (const { url, name } of fleet.resolvers) {
    for (const service of instances.services) {
      const expected = instances.placements.filter((placement) => placement.service === service).length;
      await until(
        `${name} answers with the ${expected} instances of ${service}`,
        async () => {
          if (signal.aborted) return true;
          const answer = await fetch(`${url}/v1/services/${service}`, { headers, signal });
          const { instances: found } = (await answer.json()) as ServiceAnswer;
          return answer.status === 200 && found.length === expected;
        },
        { timeoutMs },
      );
    }
  }
  signal.throwIfAborted();
}
