import { answer, failure } from "../answer.ts";
import { targetOf, type ResolverContext, type RouteOptions } from "../context.ts";
import type { Lookup } from "../lookups.ts";
import { filtersOf, OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { NO_FILTERS, select, type Filters } from "../selection.ts";

/** `GET /v1/services/{service}`: its instances. From memory it answers without an await. */
export function serviceRoute(options: RouteOptions) {
  return (context: ResolverContext): Response | Promise<Response> => {
    const { service, lookups } = targetOf(context, options);
    const { url } = context.req;
    const filters = url.includes("?") ? filtersOf(readQuery(url, OPERATIONS.service.parameters)) : NO_FILTERS;
    const lookup = lookups.lookup(service, context.env.background);
    const respond = (found: Lookup) => serviceAnswer(context.req.raw, service, found, filters);
    return lookup instanceof Promise ? lookup.then(respond) : respond(lookup);
  };
}

/** The answer to a lookup. Throws what the lookup failed with. */
export function serviceAnswer(request: Request, service: string, lookup: Lookup, filters: Filters): Response {
  if (lookup.type !== "found") throw failure(lookup, service);
  const { held } = lookup;
  const body = () => held.body(select(held.snapshot.instances, filters));
  return answer({
    request,
    provenance: lookup,
    revision: held.snapshot.revision,
    etag: held.etag,
    body: filters === NO_FILTERS ? () => held.unfiltered(body) : body,
  });
}
