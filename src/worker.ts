import { problemResponse } from "../contract/problem.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import { createColoCache, type CacheApi } from "./cloudflare/colo-cache.ts";
import { createCloudflarePlatform, type ExecutionContext } from "./cloudflare/platform.ts";
import { rateLimiterOf } from "./cloudflare/rate-limiter.ts";
import { parseEnv, type Env } from "./env.ts";
import { consoleLog } from "./log.ts";
import { createResolver, type Resolver } from "./resolver.ts";
import { createUpstashStore } from "./store/upstash.ts";

declare const caches: { readonly default: CacheApi };

/** The composition root of an isolate. The resolver is made with the first request, which brings the environment. */
function createWorker() {
  let made: { readonly resolver: Resolver } | { readonly error: FingerpostError } | undefined;

  function make(env: Env): NonNullable<typeof made> {
    try {
      const { redisUrl: url, redisToken: token, deployment, ...settings } = parseEnv(env);
      const timeoutMs = Math.max(settings.freshness.coldBudgetMs, settings.freshness.budgetMs);
      const resolver = createResolver({
        ...settings,
        rateLimit: { ...settings.rateLimit, limiter: rateLimiterOf(env) },
        store: createUpstashStore({ url, token, timeoutMs }),
        colo: createColoCache(caches.default, deployment),
      });
      return { resolver };
    } catch (thrown) {
      const error = FingerpostError.from(thrown);
      consoleLog.error({ reason: messageOf(thrown), errors: error.violations }, "the resolver cannot start");
      return { error };
    }
  }

  return {
    fetch(request: Request, env: Env, context: ExecutionContext): Response | Promise<Response> {
      made ??= make(env);
      return "error" in made
        ? problemResponse(made.error)
        : made.resolver.fetch(request, createCloudflarePlatform(request, context));
    },
  };
}

export default createWorker();
