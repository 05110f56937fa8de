import { pick } from "../../contract/pick.ts";
import { answer, failure, nothingKnown } from "../answer.ts";
import { targetOf, type ResolverContext, type RouteOptions } from "../context.ts";
import { filtersOf, OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { select } from "../selection.ts";

/** `GET /v1/services/{service}/pick`: one instance, at random by weight, or by rendezvous hashing of `key`. */
export function pickRoute(options: RouteOptions) {
  return async (context: ResolverContext): Promise<Response> => {
    const { service, lookups } = targetOf(context, options);
    const query = readQuery(context.req.url, OPERATIONS.pick.parameters);
    const lookup = await lookups.lookup(service, context.env.background);
    if (lookup.type !== "found") throw failure(lookup, service);
    const { held } = lookup;
    const instance = pick(select(held.snapshot.instances, filtersOf(query)), query.key, options.random);
    if (!instance) throw nothingKnown(`No instance of service "${service}" matches.`);
    const body = () => held.pickBody(instance);
    return answer({ request: context.req.raw, provenance: lookup, revision: held.snapshot.revision, body });
  };
}
