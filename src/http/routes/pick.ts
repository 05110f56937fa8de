import { targetOf, type ResolverContext, type RouteOptions } from "../context.ts";
import { filtersOf, OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { createQuestion } from "../question.ts";
import { answerAndRemember } from "./service.ts";

/** `GET /v1/services/{service}/pick`: one instance, at random by weight, or by rendezvous hashing of `key`. */
export function pickRoute(options: RouteOptions) {
  return (context: ResolverContext): Response | Promise<Response> => {
    const target = targetOf(context, options);
    const { key, ...query } = readQuery(context.req.url, OPERATIONS.pick.parameters);
    const question = createQuestion(key === undefined ? "pick" : "pick-by-key", target, filtersOf(query));
    return answerAndRemember(context, options, question, key, target.lookups);
  };
}
