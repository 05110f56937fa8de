import { instanceKey } from "../../contract/etcd-keys.ts";
import type { Held, HeldView } from "./held.ts";

export interface ListRequest {
  readonly namespace: string;
  readonly service?: string | undefined;
  /** The `next` of the page before. */
  readonly cursor?: string | undefined;
  readonly limit: number;
}

export interface HeldPage {
  /** Ordered by service and id. */
  readonly instances: readonly HeldView[];
  /** Where the next page starts; absent on the last one. */
  readonly next?: string;
}

/** One page of what an agent holds, without instances that etcd has not confirmed yet. */
export function listHeld(
  all: Iterable<Held>,
  view: (held: Held) => HeldView,
  { namespace, service, cursor = "", limit }: ListRequest,
): HeldPage {
  const prefix = instanceKey({ namespace, service: "", instance: "" }).slice(0, -1);
  const matching: Held[] = [];
  for (const held of all) {
    const { ref, confirmed, key } = held;
    if (!confirmed || ref.namespace !== namespace || key <= prefix + cursor) continue;
    if (service === undefined || ref.service === service) matching.push(held);
  }
  matching.sort((a, b) => (a.key < b.key ? -1 : 1));
  const page = matching.slice(0, limit);
  const last = page.at(-1);
  return {
    instances: page.map(view),
    ...(last && matching.length > limit ? { next: last.key.slice(prefix.length) } : {}),
  };
}
