import { nothingKnown } from "../answer.ts";
import { lookupsOf, type ResolverContext, type RouteOptions } from "../context.ts";

const HEADERS = { "Cache-Control": "no-store", "Content-Type": "application/json" };

/** `GET /healthz`: the process answers. */
export function healthRoute(): Response {
  return new Response('{"status":"ok"}', { headers: HEADERS });
}

/** `GET /readyz`: 503 until a complete head of the default namespace is known, which stays known while Redis is away. */
export function readyRoute(options: RouteOptions) {
  return async (context: ResolverContext): Promise<Response> => {
    const { namespaceDefault: namespace } = options;
    if (await lookupsOf(namespace, options).ready(context.env.background))
      return new Response('{"status":"ready"}', { headers: HEADERS });
    throw nothingKnown(`No complete head of namespace "${namespace}" has been read from Redis yet.`);
  };
}
