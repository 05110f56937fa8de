import type { Context } from "hono";
import { FingerpostError } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import type { Background } from "./flight.ts";
import type { Lookups } from "./lookups.ts";
import { pathName } from "./query.ts";

/** What a request brings besides itself. */
export interface Bindings {
  readonly background: Background;
}

export type ResolverContext = Context<{ Bindings: Bindings }>;

/** What the routes share. */
export interface RouteOptions {
  /** By namespace: the ones that are served. */
  readonly namespaces: ReadonlyMap<string, Lookups>;
  readonly namespaceDefault: string;
  readonly random: Random;
}

/** The namespace of a request; one that is not served is not told from one that does not exist. */
export function namespaceOf(
  context: ResolverContext,
  { namespaces, namespaceDefault }: RouteOptions,
): { readonly namespace: string; readonly lookups: Lookups } {
  const given = context.req.param("namespace");
  const namespace = given === undefined ? namespaceDefault : pathName("namespace", given);
  const lookups = namespaces.get(namespace);
  if (!lookups) throw new FingerpostError("not_found", `There is no namespace "${namespace}" here.`);
  return { namespace, lookups };
}
