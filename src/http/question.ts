import { normalizeRange } from "verkit/range";
import { NO_FILTERS, type Filters } from "../memory/selection.ts";

/**
 * What a URL asks of one service, as far as the URL alone says it: never who asks, from where, or when. So it may be
 * remembered, and answer the same URL again. The key of a pick is left out: there are as many as users.
 */
export interface Question {
  readonly type: "service" | "pick" | "pick-by-key";
  readonly namespace: string;
  readonly service: string;
  /** NO_FILTERS itself where nothing is asked for. */
  readonly filters: Filters;
  /** Equal for questions of one type that select the same instances of a service, however they are written. */
  readonly selection: string;
}

export function createQuestion(
  type: Question["type"],
  { namespace, service }: Pick<Question, "namespace" | "service">,
  filters: Filters,
): Question {
  const conditions = conditionsOf(filters);
  return {
    type,
    namespace,
    service,
    filters: conditions === NO_CONDITIONS ? NO_FILTERS : filters,
    selection: `${type} ${namespace}/${service} ${conditions}`,
  };
}

function conditionsOf({ version, tags, region, zone, metadata, health, near, limit }: Filters): string {
  const pairs = metadata.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const range = version && normalizeRange(version);
  return JSON.stringify([range, tags.toSorted(), region, zone, pairs, health, near, limit]);
}

const NO_CONDITIONS = conditionsOf(NO_FILTERS);
