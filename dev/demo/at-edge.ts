import { sleep, type Clock } from "../../kernel/clock.ts";
import { demoInstances } from "./services.ts";

/** What a registration may take to be seen is 2 s; the rest is for a machine that starts much else. */
const BUDGET_MS = 15_000;
const POLL_MS = 100;
const REQUEST_TIMEOUT_MS = 5000;

export interface AtEdgeOptions {
  readonly resolver: string;
  readonly token: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Waits until the resolver answers with every demo instance: "ready" is to mean that a lookup finds them. */
export async function untilDemoAtEdge({ resolver, token, clock, signal }: AtEdgeOptions): Promise<void> {
  const deadline = clock.monotonic() + BUDGET_MS;
  const missing = new Set(demoInstances.filter(({ comesAndGoes }) => !comesAndGoes));
  for (;;) {
    for (const service of new Set([...missing].map((instance) => instance.service))) {
      const ids = await idsOf(`${resolver}/v1/services/${service}`, token);
      for (const instance of missing) if (ids.has(instance.id)) missing.delete(instance);
    }
    if (missing.size === 0) return;
    signal.throwIfAborted();
    if (clock.monotonic() > deadline) {
      const ids = [...missing].map(({ id }) => id).join(", ");
      throw new Error(`The resolver does not know ${ids} after ${BUDGET_MS} ms.`);
    }
    await sleep(clock, POLL_MS, signal);
  }
}

async function idsOf(url: string, token: string): Promise<ReadonlySet<string>> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  const answer = (await response.json()) as { readonly instances?: readonly { readonly id: string }[] };
  return new Set((answer.instances ?? []).map(({ id }) => id));
}
