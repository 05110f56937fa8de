import type { Context } from "hono";
import { FingerpostError } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Caller } from "../access/caller.ts";
import type { Answer } from "./answer.ts";
import type { Answering } from "./answering.ts";
import type { Background } from "../lookup/flight.ts";
import type { Lookups } from "../lookup/lookups.ts";
import { asksAgain } from "./no-cache.ts";
import type { Platform } from "../platform.ts";
import { pathName } from "./query.ts";
import type { UrlMemo } from "./url-memo.ts";

/** What a request brings besides itself. */
export interface Bindings {
  readonly platform: Platform;
  /** The platform's. */
  readonly background: Background;
  /** Who asks; the routes that answer without a credential have none. */
  caller?: Caller;
}

export type ResolverContext = Context<{ Bindings: Bindings }>;

/** What the routes share. */
export interface RouteOptions {
  /** By namespace: the ones that are served. */
  readonly namespaces: ReadonlyMap<string, Lookups>;
  readonly namespaceDefault: string;
  readonly random: Random;
  readonly answer: Answer;
  readonly answering: Answering;
  /** Of what was answered. */
  readonly memo: UrlMemo;
}

/** A namespace that the caller may look into. */
export interface NamespaceTarget {
  readonly namespace: string;
  readonly lookups: Lookups;
  readonly caller: Caller;
}

/** A service that the caller may look up, there or not. */
export interface ServiceTarget extends NamespaceTarget {
  readonly service: string;
}

/**
 * The namespace of a request, and who asks. Throws `permission_denied` for one the caller may see nothing of, whether it
 * is served or not; then `not_found` for one that is not served, which is not told from one that does not exist.
 */
export function namespaceOf(context: ResolverContext, options: RouteOptions): NamespaceTarget {
  const namespace = namespaceName(context, options);
  const caller = callerOf(context);
  if (!caller.mayList(namespace)) throw forbiddenNamespace(namespace);
  return { namespace, lookups: lookupsOfRequest(context, namespace, options), caller };
}

/**
 * The service that a path names. Throws `permission_denied` for what is outside the caller's scopes, before anything is
 * looked up: neither the answer nor its time tells whether it exists.
 */
export function targetOf(context: ResolverContext, options: RouteOptions): ServiceTarget {
  const namespace = namespaceName(context, options);
  const service = pathName("service", context.req.param("service") ?? "");
  const caller = callerOf(context);
  if (!caller.may(namespace, service)) throw forbiddenService(namespace, service);
  return { namespace, service, lookups: lookupsOfRequest(context, namespace, options), caller };
}

/** What is refused is named as it was asked for: nothing is known of it that could be told. */
export function forbiddenService(namespace: string, service: string): FingerpostError {
  return new FingerpostError(
    "permission_denied",
    `Service "${service}" of namespace "${namespace}" is outside this caller's scopes.`,
  );
}

function forbiddenNamespace(namespace: string): FingerpostError {
  return new FingerpostError("permission_denied", `Namespace "${namespace}" is outside this caller's scopes.`);
}

function namespaceName(context: ResolverContext, { namespaceDefault }: RouteOptions): string {
  const given = context.req.param("namespace");
  return given === undefined ? namespaceDefault : pathName("namespace", given);
}

/**
 * What a request is answered from: as it is held, or read again where the request asks for that. Throws `not_found` for
 * a namespace that is not served.
 */
export function lookupsFor(
  request: Request,
  background: Background,
  namespace: string,
  options: Pick<RouteOptions, "namespaces">,
): Lookups {
  const lookups = lookupsOf(namespace, options);
  return asksAgain(request) ? lookups.revalidated(background) : lookups;
}

function lookupsOfRequest({ req, env }: ResolverContext, namespace: string, options: RouteOptions): Lookups {
  return lookupsFor(req.raw, env.background, namespace, options);
}

/** Throws `not_found` for a namespace that is not served. */
export function lookupsOf(namespace: string, { namespaces }: Pick<RouteOptions, "namespaces">): Lookups {
  const lookups = namespaces.get(namespace);
  if (!lookups) throw new FingerpostError("not_found", `There is no namespace "${namespace}" here.`);
  return lookups;
}

/** A route that asks for the caller stands behind `admit`: none is a defect of ours, and must not open anything. */
function callerOf(context: ResolverContext): Caller {
  const { caller } = context.env;
  if (!caller) throw new FingerpostError("internal", "A request was not admitted.");
  return caller;
}
