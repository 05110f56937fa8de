import type { ServicesAnswer } from "../../contract/http.ts";
import { answer, nothingKnown } from "../answer.ts";
import { namespaceOf, type ResolverContext, type RouteOptions } from "../context.ts";
import { OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { strongTag } from "../tag.ts";

/** `GET /v1/services`: the names with their counts of instances, in pages. The cursor is the last name of a page. */
export function servicesRoute(options: RouteOptions) {
  return async (context: ResolverContext): Promise<Response> => {
    const { namespace, lookups } = namespaceOf(context, options);
    const { limit, cursor } = readQuery(context.req.url, OPERATIONS.services.parameters);
    const listing = await lookups.list(context.env.background);
    if (listing.type !== "found") throw nothingKnown(`Nothing is known of namespace "${namespace}" yet.`);
    const { names, head } = listing;
    const start = cursor === undefined ? 0 : indexAfter(cursor, (index) => names[index]?.name, names.length);
    const services = names.slice(start, start + limit);
    const last = services.at(-1);
    const page: ServicesAnswer = {
      namespace,
      epoch: head.epoch,
      revision: head.revision,
      services,
      ...(last !== undefined && start + limit < names.length ? { next: last.name } : {}),
    };
    const body = JSON.stringify(page);
    return answer({
      request: context.req.raw,
      provenance: listing,
      revision: head.revision,
      etag: await strongTag(body),
      body: () => body,
    });
  };
}

/** The index of the first name after `cursor`, which may be gone itself, by bisection. */
function indexAfter(cursor: string, nameAt: (index: number) => string | undefined, count: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((nameAt(middle) ?? "") <= cursor) low = middle + 1;
    else high = middle;
  }
  return low;
}
