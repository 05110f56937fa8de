import { targetOf, type ResolverContext, type RouteOptions } from "../context.ts";
import type { Lookups } from "../../lookup/lookups.ts";
import { filtersOf, OPERATIONS } from "../operations.ts";
import { readQuery } from "../query.ts";
import { createQuestion, type Question } from "../question.ts";
import { NO_FILTERS } from "../../memory/selection.ts";

/** `GET /v1/services/{service}`: its instances. From memory it answers without an await. */
export function serviceRoute(options: RouteOptions) {
  return (context: ResolverContext): Response | Promise<Response> => {
    const target = targetOf(context, options);
    const { url } = context.req;
    const filters = url.includes("?") ? filtersOf(readQuery(url, OPERATIONS.service.parameters)) : NO_FILTERS;
    return answerAndRemember(context, options, createQuestion("service", target, filters), undefined, target.lookups);
  };
}

/** Once it is answered, the same URL need not be read again: the hot path takes it. */
export function answerAndRemember(
  context: ResolverContext,
  { answering, memo }: RouteOptions,
  question: Question,
  key: string | undefined,
  lookups: Lookups,
): Response | Promise<Response> {
  const { raw } = context.req;
  const remember = (response: Response) => {
    memo.remember(raw.url, question);
    return response;
  };
  const answered = answering.answer(question, key, lookups, raw, context.env.platform);
  return answered instanceof Promise ? answered.then(remember) : remember(answered);
}
