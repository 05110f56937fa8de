import type { ServicesAnswer } from "../../contract/http.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { demoInstances } from "./services.ts";

/** A registration may take 2 s to be seen, and the counts 5 s more; the rest is for a machine that starts much else. */
const BUDGET_MS = 15_000;
const POLL_MS = 100;
const REQUEST_TIMEOUT_MS = 5000;

export interface AtEdgeOptions {
  readonly resolver: string;
  readonly token: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const services = [...new Set(demoInstances.map(({ service }) => service))];
const steady = demoInstances.filter(({ comesAndGoes }) => !comesAndGoes);

/**
 * Waits until the resolver answers with every demo instance: "ready" is to mean that a lookup finds them, and that the
 * list of services counts as many. Rejects when one is missing once the time is up; counts alone, which may lag by
 * design, are then no failure.
 */
export async function untilDemoAtEdge({ resolver, token, clock, signal }: AtEdgeOptions): Promise<void> {
  const deadline = clock.monotonic() + BUDGET_MS;
  const ask = async (path: string): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(resolver + path, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    return response.json();
  };
  for (;;) {
    const found = new Map<string, ReadonlySet<string>>();
    for (const service of services) found.set(service, idsIn(await ask(`/v1/services/${service}`)));
    const missing = steady.filter(({ service, id }) => !found.get(service)?.has(id));
    const late = clock.monotonic() > deadline;
    if (missing.length === 0 && (late || countsAre(found, await ask("/v1/services")))) return;
    signal.throwIfAborted();
    if (late) {
      const ids = missing.map(({ id }) => id).join(", ");
      throw new Error(`The resolver does not know ${ids} after ${BUDGET_MS} ms.`);
    }
    await sleep(clock, POLL_MS, signal);
  }
}

function idsIn(answer: unknown): ReadonlySet<string> {
  const { instances = [] } = answer as { readonly instances?: readonly { readonly id: string }[] };
  return new Set(instances.map(({ id }) => id));
}

/** Compared with what lookups find, since how many there are changes as some come and go. */
function countsAre(found: ReadonlyMap<string, ReadonlySet<string>>, answer: unknown): boolean {
  const listed = (answer as Partial<ServicesAnswer>).services ?? [];
  const counts = new Map(listed.map(({ name, instances }) => [name, instances]));
  return [...found].every(([service, ids]) => counts.get(service) === ids.size);
}
