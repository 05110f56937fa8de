import type { IRangeRequest, IRangeResponse } from "etcd3";
import { toKeyValue } from "./messages.ts";
import type { Page } from "./port.ts";
import { nextKey, prefixEnd } from "./range.ts";

/** A page costs etcd and us one message of that many entries; much smaller ones cost a large list many round trips. */
export const PAGE_ENTRIES_MAX = 1000;

/**
 * Reads a prefix page by page, each at the revision of the first. Rejects with `compacted` when etcd drops that revision
 * on the way: the list then has to start again. Ends early, and silently, when `signal` aborts.
 */
export async function* listPages(
  range: (request: IRangeRequest) => Promise<IRangeResponse>,
  prefix: string,
  signal: AbortSignal,
  from: string = prefix,
): AsyncGenerator<Page, void, void> {
  const end = prefixEnd(prefix);
  let key: Buffer = Buffer.from(from);
  let revision = 0;
  while (!signal.aborted) {
    // No sort is asked for: by key is how etcd reads, and any other order makes it read everything first.
    const { header, kvs, more } = await range({ key, range_end: end, limit: PAGE_ENTRIES_MAX, revision });
    if (revision === 0) revision = Number(header.revision);
    yield { entries: kvs.map(toKeyValue), revision };
    const last = kvs.at(-1);
    if (!more || last === undefined) return;
    key = nextKey(last.key);
  }
}
