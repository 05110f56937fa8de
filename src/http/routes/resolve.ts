import { toProblem } from "../../../contract/problem.ts";
import { failure, nothingKnown } from "../answer.ts";
import { forbiddenService, namespaceOf, type ResolverContext, type RouteOptions } from "../context.ts";
import type { Held } from "../../memory/held.ts";
import type { Lookup } from "../../lookup/lookups.ts";
import type { Provenance } from "../../lookup/provenance.ts";
import { NEAR_AUTO } from "../../memory/near.ts";
import { filtersOf, OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { select } from "../../memory/selection.ts";
import { strongTag } from "../tag.ts";

type Found = Extract<Lookup, { type: "found" }>;

/** Outside the caller's scopes: told the same, and nothing read, whether it exists or not. */
interface Forbidden {
  readonly type: "forbidden";
}

/** `GET /v1/resolve?service=a&service=b`: several services in one answer, each with the same filters. */
export function resolveRoute(options: RouteOptions) {
  return async (context: ResolverContext): Promise<Response> => {
    const { namespace, lookups, caller } = namespaceOf(context, options);
    const { service: names, ...query } = readQuery(context.req.url, OPERATIONS.resolve.parameters);
    const filters = filtersOf(query);
    // The others are named in the answer as they were asked for; nothing is read for them.
    const visible = names.filter((name) => caller.may(namespace, name));
    const [hidden] = names;
    if (visible.length === 0 && hidden !== undefined) throw forbiddenService(namespace, hidden);
    const found = await lookups.lookupAll(visible, context.env.background);
    const foundByName = new Map(visible.map((name, index) => [name, found[index] ?? { type: "nothing" as const }]));
    const lookupByName = new Map(names.map((name) => [name, foundByName.get(name) ?? { type: "forbidden" as const }]));
    const place = options.answering.placeOf(filters, context.env.platform);
    const body = resolveBody(namespace, lookupByName, (held) =>
      held.body(select(held.snapshot.instances, filters, place)),
    );
    if (found.every((lookup) => lookup.type === "nothing"))
      throw nothingKnown("Nothing is known of these services yet.");
    const answered = found.filter((lookup): lookup is Found => lookup.type === "found");
    const complete = found.every((lookup) => lookup.type !== "nothing");
    return options.answer({
      request: context.req.raw,
      provenance: worst(answered),
      revision: Math.max(0, ...answered.map(({ held }) => held.snapshot.revision)),
      // What is not known for the moment must not be kept as if it were an answer.
      ...(complete ? { etag: await strongTag(body) } : {}),
      body,
      anywhere: filters.near !== NEAR_AUTO,
    });
  };
}

function resolveBody(
  namespace: string,
  lookups: ReadonlyMap<string, Lookup | Forbidden>,
  bodyOf: (held: Held) => string,
): string {
  const services: string[] = [];
  const errors: string[] = [];
  for (const [name, lookup] of lookups) {
    const member = `${JSON.stringify(name)}:`;
    if (lookup.type === "found") {
      services.push(member + bodyOf(lookup.held));
    } else {
      const error = lookup.type === "forbidden" ? forbiddenService(namespace, name) : failure(lookup, name);
      const { code, detail } = toProblem(error);
      errors.push(member + JSON.stringify({ code, detail }));
    }
  }
  const opening = JSON.stringify({ namespace }).slice(0, -1);
  return `${opening},"services":{${services.join(",")}},"errors":{${errors.join(",")}}}`;
}

/** The headers tell the oldest of the answers. */
function worst(found: readonly Found[]): Provenance {
  const [first, ...rest] = found;
  if (!first) return { source: "memory", ageMs: 0, stale: false, cacheStatus: "hit" };
  return rest.reduce<Found>((oldest, lookup) => (rank(lookup) > rank(oldest) ? lookup : oldest), first);
}

function rank({ stale, ageMs, source }: Provenance): number {
  const order = ["memory", "colo", "redis", "last-known-good"].indexOf(source);
  return (stale ? 2 ** 50 : 0) + ageMs + order / 10;
}
