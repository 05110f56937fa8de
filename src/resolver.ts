import { Hono } from "hono/tiny";
import { getPath } from "hono/utils/url";
import { problemResponse } from "../contract/problem.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import { createAccess } from "./access/access.ts";
import { createAnswer } from "./http/answer.ts";
import { createAnswering } from "./http/answering.ts";
import type { Caller } from "./access/caller.ts";
import { createCors } from "./access/cors.ts";
import { createRateLimit } from "./access/rate-limit.ts";
import { createBreaker } from "./lookup/breaker.ts";
import type { Bindings, ResolverContext, RouteOptions } from "./http/context.ts";
import { createHotPath, type Admit } from "./http/hot-path.ts";
import { createDeepCopies } from "./lookup/deep-copies.ts";
import { createLoader } from "./lookup/loader.ts";
import { createLookups } from "./lookup/lookups.ts";
import { createNamespaceState, type Entry } from "./memory/namespace-state.ts";
import { REVALIDATIONS_BURST, REVALIDATIONS_PER_SECOND } from "./http/no-cache.ts";
import { createBoundedMaps } from "./memory/bounded-map.ts";
import { createPlaces } from "./memory/near.ts";
import { OPERATION_NAMES, OPERATIONS, PREFIXES, type OperationName } from "./http/operations.ts";
import { verifierOf } from "./lookup/opening.ts";
import { withDefaults, type CompleteOptions, type ResolverOptions } from "./options.ts";
import { plainPlatform, type Platform } from "./platform.ts";
import { createRightsCheck } from "./store/rights.ts";
import { healthRoute, readyRoute } from "./http/routes/health.ts";
import { docsRoute, documentRoute } from "./http/routes/openapi.ts";
import { pickRoute } from "./http/routes/pick.ts";
import { resolveRoute } from "./http/routes/resolve.ts";
import { serviceRoute } from "./http/routes/service.ts";
import { servicesRoute } from "./http/routes/services.ts";
import { createSharedReadings } from "./lookup/shared-readings.ts";
import { watchRoute } from "./http/routes/watch.ts";
import { createSelections } from "./memory/selections.ts";
import { createTokenBucket } from "./token-bucket.ts";
import { createUrlMemo } from "./http/url-memo.ts";

/** The part of the memory that is for what filters select, so that no query can push out snapshots. */
const SELECTIONS_SHARE = 1 / 4;

export interface Resolver {
  /** Answers a request. Never rejects. On Workers it needs `createCloudflarePlatform`, whose readings else end early. */
  fetch(request: Request, platform?: Platform): Response | Promise<Response>;
  /** Ends the streams and answers the long polls, each at its next look, within five seconds. */
  endWatches(): void;
}

type Handler = (context: ResolverContext) => Response | Promise<Response>;

/**
 * The resolver, whatever it runs on: one per isolate or process, since it is what remembers. Its options are taken as they
 * are: `createCheckedResolver` is for those that no reader of variables has checked.
 */
export function createResolver(given: ResolverOptions): Resolver {
  const options = withDefaults(given);
  const { access, clock, log } = options;
  const admission = createAccess({ rule: access, clock, log });
  const rateLimit = createRateLimit({ ...options.rateLimit, clock, log });
  const cors = createCors(options.corsOrigins);
  const routes = createRoutes(options);
  let closing = false;
  // The router takes a path with a slash at its end for the one without it: "/services/" for the list. With two it finds none.
  const pathOf = (request: Request) => getPath(request).replace(/\/$/, "//");
  const app = new Hono<{ Bindings: Bindings }>({ getPath: pathOf }).basePath(options.basePath);

  // Before every cache, and before a 304.
  const admit: Admit = (request, { background }) => {
    const admitted = admission.admit(request, background);
    if (!rateLimit) return admitted;
    const count = (caller: Caller) => {
      rateLimit.take(caller, background);
      return caller;
    };
    return admitted instanceof Promise ? admitted.then(count) : count(admitted);
  };
  const guarded = (handler: Handler) => (context: ResolverContext) => {
    const admitted = admit(context.req.raw, context.env.platform);
    const enter = (caller: Caller) => {
      context.env.caller = caller;
      return handler(context);
    };
    return admitted instanceof Promise ? admitted.then(enter) : enter(admitted);
  };

  const handlers: Record<OperationName, Handler> = {
    service: serviceRoute(routes),
    pick: pickRoute(routes),
    watch: watchRoute({
      ...routes,
      clock,
      log,
      freshMs: options.freshness.freshMs,
      watchersMax: options.watchersMax,
      closing: () => closing,
    }),
    services: servicesRoute(routes),
    resolve: resolveRoute(routes),
  };
  for (const name of OPERATION_NAMES) {
    const handler = guarded(handlers[name]);
    for (const prefix of PREFIXES) app.get(prefix + OPERATIONS[name].path, handler);
  }
  app.get("/healthz", healthRoute);
  app.get("/readyz", readyRoute(routes));
  app.get("/openapi.json", documentRoute());
  app.get("/docs", docsRoute());

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
  const failed = (thrown: unknown) => {
    const error = FingerpostError.from(thrown);
    if (error.code === "internal") log.error({ reason: messageOf(thrown) }, "a request broke");
    return problemResponse(error);
  };
  app.onError(failed);
  const hotPath = createHotPath({ ...routes, admit, failed });

  const answer: Resolver["fetch"] = (request, platform = plainPlatform) =>
    hotPath(request, platform) ?? app.fetch(request, { platform, background: platform.background });

  return {
    fetch: cors ? (request, platform) => cors(request, () => answer(request, platform)) : answer,
    endWatches() {
      closing = true;
    },
  };
}

function createRoutes({
  namespaces,
  store,
  colo,
  deep,
  freshness,
  memory,
  clock,
  near,
  random,
  log,
  publicKeys,
  onRefused,
}: CompleteOptions): RouteOptions {
  const verifier = verifierOf(publicKeys);
  // One Redis, one breaker, whatever the namespace.
  const breaker = createBreaker({
    clock,
    random,
    probeMsMax: store.timeoutMs,
    onChange(state) {
      if (state === "open") log.warn({}, "Redis is down: answers are last-known-good, and it is probed");
      else log.info({}, "Redis answers again");
    },
  });
  const revalidations = createTokenBucket({
    clock,
    ratePerSecond: REVALIDATIONS_PER_SECOND,
    burst: REVALIDATIONS_BURST,
  });
  // One bound for all namespaces: a busy one may have what others leave.
  const entries = createBoundedMaps<string, Entry>({
    entriesMax: memory.entriesMax,
    weightMax: memory.bytesMax * (1 - SELECTIONS_SHARE),
    weightOf: ({ held }) => held.weight,
  });
  const onAnswer = createRightsCheck({ store, namespace: namespaces[0], clock, log });
  const lookups = namespaces.map((namespace) => {
    const state = createNamespaceState(entries.create());
    const { freshMs, swrMs } = freshness;
    const shared = createSharedReadings({ namespace, colo, clock, log });
    const loader = createLoader({
      namespace,
      state,
      store,
      shared,
      deep: createDeepCopies({ namespace, store: deep, shared, clock, random, log }),
      breaker,
      revalidations,
      clock,
      random,
      log,
      freshMs,
      swrMs,
      verifier,
      onRefused,
      onAnswer,
    });
    return [namespace, createLookups({ ...freshness, state, loader, breaker, clock })] as const;
  });
  const selections = createSelections(memory.bytesMax * SELECTIONS_SHARE, random);
  const answer = createAnswer();
  return {
    namespaces: new Map(lookups),
    namespaceDefault: namespaces[0],
    random,
    answer,
    answering: createAnswering({ answer, places: createPlaces(near), selections }),
    memo: createUrlMemo(),
  };
}
