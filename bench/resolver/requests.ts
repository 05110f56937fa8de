import { getRequest } from "../support/raw-connection.ts";
import type { Task } from "../support/task.ts";
import { serviceName } from "../support/workload.ts";
import { CALLER_HEADERS } from "./edge.ts";
import type { Answers, Load } from "./tasks/load.ts";
import type { Workerd } from "./workerd.ts";

/** Of services at a time: as many as the resolver takes. */
const RESOLVE_SERVICES_MAX = 50;

/** The text of a lookup. `query` is a query string, or the rest of the path. */
export function lookupOf(service: number, services: number, query = ""): string {
  return getRequest(`/v1/services/${serviceName(service, services)}${query}`, CALLER_HEADERS);
}

/** A lookup of every service. */
export function lookupsOf(services: number): readonly string[] {
  return Array.from({ length: services }, (_, service) => lookupOf(service, services));
}

/** Has the resolver read every service into memory. */
export async function holdAll(load: Task<Load>, { port }: Pick<Workerd, "port">, services: number): Promise<void> {
  const requests: string[] = [];
  for (let from = 0; from < services; from += RESOLVE_SERVICES_MAX) {
    const count = Math.min(RESOLVE_SERVICES_MAX, services - from);
    const names = Array.from({ length: count }, (_, index) => `service=${serviceName(from + index, services)}`);
    requests.push(getRequest(`/v1/resolve?${names.join("&")}`, CALLER_HEADERS));
  }
  await load.call("aim", { name: "hold", target: { port, connections: 1, requests } });
  allAnswered("the first reading", await load.call("each", { name: "hold" }));
}

/** Throws when anything was answered otherwise than 200: a figure of answers that are none would say nothing. */
export function allAnswered(what: string, answers: Answers): Answers {
  const others = Object.entries(answers.others).map(([status, count]) => `${count} times ${status}`);
  if (others.length > 0) throw new Error(`${what}: of ${answers.answered} requests ${others.join(", ")}`);
  return answers;
}

/** In an order of its own, always the same: neighbours in memory must not be neighbours in time. */
export function shuffled<T>(values: readonly T[]): readonly T[] {
  // A prime that divides no length used here, so that every value comes once.
  const step = 7919;
  return values.map((_, index) => values[(index * step) % values.length] as T);
}
