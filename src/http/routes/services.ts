import type { ServicesAnswer } from "../../../contract/http.ts";
import { nothingKnown } from "../answer.ts";
import { namespaceOf, type ResolverContext, type RouteOptions } from "../context.ts";
import type { NamedCount } from "../../memory/known-names.ts";
import { OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { strongTag } from "../tag.ts";

/** `GET /v1/services`: the names with their counts of instances, in pages. The cursor is the last name of a page. */
export function servicesRoute(options: RouteOptions) {
  return async (context: ResolverContext): Promise<Response> => {
    const { namespace, lookups, caller } = namespaceOf(context, options);
    const { limit, cursor } = readQuery(context.req.url, OPERATIONS.services.parameters);
    const listing = await lookups.list(context.env.background);
    if (listing.type !== "found") throw nothingKnown(`Nothing is known of namespace "${namespace}" yet.`);
    const { names, head } = listing;
    const start = cursor === undefined ? 0 : indexAfter(cursor, (index) => names[index]?.name, names.length);
    const { services, next } = pageOf(names, start, limit, ({ name }) => caller.may(namespace, name));
    const page: ServicesAnswer = {
      namespace,
      epoch: head.epoch,
      revision: head.revision,
      services,
      ...(next === undefined ? {} : { next }),
    };
    const body = JSON.stringify(page);
    return options.answer({
      request: context.req.raw,
      provenance: listing,
      revision: head.revision,
      etag: await strongTag(body),
      body,
    });
  };
}

/**
 * A page of what the caller may see. That there is a next one, and where it begins, is told by such names alone: neither
 * the size of a page nor its cursor tells of others.
 */
function pageOf(names: readonly NamedCount[], start: number, limit: number, visible: (name: NamedCount) => boolean) {
  const services: NamedCount[] = [];
  for (let index = start; index < names.length; index++) {
    const name = names[index];
    if (!name || !visible(name)) continue;
    if (services.length === limit) return { services, next: services.at(-1)?.name };
    services.push(name);
  }
  return { services, next: undefined };
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
