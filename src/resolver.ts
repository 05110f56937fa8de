import { Hono } from "hono/tiny";
import { problemResponse } from "../contract/problem.ts";
import type { Clock } from "../kernel/clock.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { createAccess, type AccessRule } from "./access/access.ts";
import type { Caller } from "./access/caller.ts";
import { createBreaker } from "./breaker.ts";
import type { Bindings, ResolverContext, RouteOptions } from "./context.ts";
import type { Background } from "./flight.ts";
import { createLoader } from "./loader.ts";
import type { ResolverLog } from "./log.ts";
import { createLookups, type Freshness } from "./lookups.ts";
import { createNamespaceState } from "./namespace-state.ts";
import { OPERATION_NAMES, OPERATIONS, PREFIXES, type OperationName } from "./operations.ts";
import { healthRoute, readyRoute } from "./routes/health.ts";
import { pickRoute } from "./routes/pick.ts";
import { resolveRoute } from "./routes/resolve.ts";
import { serviceRoute } from "./routes/service.ts";
import { servicesRoute } from "./routes/services.ts";
import type { ColoCache } from "./store/colo.ts";
import type { ReadStore } from "./store/redis.ts";

/** Snapshots held in memory, for all namespaces: an isolate has 128 MB, and a request's own work needs its part. */
export interface MemoryBounds {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

export const MEMORY_DEFAULT: MemoryBounds = { entriesMax: 10_000, bytesMax: 48 * 1024 * 1024 };

export const FRESHNESS_DEFAULT: Freshness = {
  freshMs: 1000,
  swrMs: 2000,
  budgetMs: 250,
  coldBudgetMs: 2000,
  // The publisher confirms every two seconds: five missed are no hiccup.
  staleAfterMs: 10_000,
};

export interface ResolverOptions {
  /** Served, and read from Redis; the first is the default. No other name reaches Redis. */
  readonly namespaces: readonly [string, ...string[]];
  readonly access: AccessRule;
  readonly store: ReadStore;
  /** What one request of `store` takes at most. */
  readonly storeTimeoutMs: number;
  /** Between memory and Redis, where there is one. */
  readonly colo?: ColoCache;
  readonly freshness: Freshness;
  readonly memory: MemoryBounds;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ResolverLog;
}

export interface Resolver {
  /** Answers a request. `background` keeps work alive past the answer. Never rejects. */
  fetch(request: Request, background: Background): Response | Promise<Response>;
}

type Handler = (context: ResolverContext) => Response | Promise<Response>;

/** The resolver, whatever it runs on: one per isolate or process, since it is what remembers. */
export function createResolver(options: ResolverOptions): Resolver {
  const { access, clock, log } = options;
  const admission = createAccess(access, clock);
  const routes = createRoutes(options);
  const app = new Hono<{ Bindings: Bindings }>();

  // Before every cache, and before a 304.
  const guarded = (handler: Handler) => (context: ResolverContext) => {
    const admitted = admission.admit(context.req.raw, context.env.background);
    const enter = (caller: Caller) => {
      context.env.caller = caller;
      return handler(context);
    };
    return admitted instanceof Promise ? admitted.then(enter) : enter(admitted);
  };

  const handlers: Record<OperationName, Handler> = {
    service: serviceRoute(routes),
    pick: pickRoute(routes),
    services: servicesRoute(routes),
    resolve: resolveRoute(routes),
  };
  for (const name of OPERATION_NAMES) {
    const handler = guarded(handlers[name]);
    for (const prefix of PREFIXES) app.get(prefix + OPERATIONS[name].path, handler);
  }
  app.get("/healthz", healthRoute);
  app.get("/readyz", readyRoute(routes));

  app.notFound(({ req }) => {
    if (req.method === "GET" || req.method === "HEAD") {
      return problemResponse(new FingerpostError("not_found", "There is nothing at this path."));
    }
    const response = problemResponse(
      new FingerpostError("method_not_allowed", `${req.method} is not offered: the resolver only reads.`),
    );
    response.headers.set("Allow", "GET, HEAD");
    return response;
  });
  app.onError((thrown) => {
    const error = FingerpostError.from(thrown);
    if (error.code === "internal") log.error({ reason: messageOf(thrown) }, "a request broke");
    return problemResponse(error);
  });

  return { fetch: (request, background) => app.fetch(request, { background }) };
}

function createRoutes({
  namespaces,
  store,
  colo,
  freshness,
  memory,
  clock,
  random,
  log,
  ...rest
}: ResolverOptions): RouteOptions {
  const { storeTimeoutMs } = rest;
  // One Redis, one breaker, whatever the namespace.
  const breaker = createBreaker({
    clock,
    random,
    probeMsMax: storeTimeoutMs,
    onChange(state) {
      if (state === "open") log.warn({}, "Redis is down: answers are last-known-good, and it is probed");
      else log.info({}, "Redis answers again");
    },
  });
  const share = (bound: number) => Math.max(1, Math.floor(bound / namespaces.length));
  const lookups = namespaces.map((namespace) => {
    const state = createNamespaceState({ entriesMax: share(memory.entriesMax), bytesMax: share(memory.bytesMax) });
    const { freshMs } = freshness;
    const loader = createLoader({
      namespace,
      state,
      store,
      colo,
      breaker,
      clock,
      log,
      freshMs,
      storeTimeoutMs,
    });
    return [namespace, createLookups({ ...freshness, state, loader, breaker, clock })] as const;
  });
  return { namespaces: new Map(lookups), namespaceDefault: namespaces[0], random };
}
