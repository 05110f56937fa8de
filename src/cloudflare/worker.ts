import { problemResponse } from "../../contract/problem.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import { optionsOf } from "../compose.ts";
import { parseEnv } from "../env.ts";
import type { Env } from "../env-reader.ts";
import { consoleLog } from "../log.ts";
import type { ResolverOptions } from "../options.ts";
import type { Resolver } from "../resolver.ts";
import { createColoCache, type CacheApi } from "./colo-cache.ts";
import { deepStoreOf } from "./kv.ts";
import { createCloudflarePlatform, type ExecutionContext } from "./platform.ts";
import { rateLimiterOf } from "./rate-limiter.ts";

declare const caches: { readonly default: CacheApi };

export interface Worker {
  fetch(request: Request, env: Env, context: ExecutionContext): Response | Promise<Response>;
}

export interface WorkerOptions {
  /** What stands before each path, `/discovery` for instance, where a Worker answers others as well. */
  readonly basePath?: string;
}

/**
 * The composition root of an isolate: the resolver with all that Cloudflare has, by the Worker's variables and secrets.
 * It is made with the first request, which brings them; where they are wrong, every request is answered 500, and the
 * log names them once.
 */
export function workerOf(
  createResolver: (options: ResolverOptions) => Resolver,
  { basePath = "" }: WorkerOptions = {},
): Worker {
  let made: { readonly resolver: Resolver } | { readonly error: FingerpostError } | undefined;

  function make(env: Env): NonNullable<typeof made> {
    try {
      const settings = parseEnv(env);
      if (settings.unread.length > 0) {
        consoleLog.warn({ variables: settings.unread }, "nothing reads these variables: are they misspelt?");
      }
      const resolver = createResolver({
        ...optionsOf(settings),
        basePath,
        rateLimit: { ...settings.rateLimit, limiter: rateLimiterOf(env) },
        colo: createColoCache(caches.default, settings.deployment),
        deep: deepStoreOf(env, settings.deployment),
      });
      return { resolver };
    } catch (thrown) {
      const { message, violations } = FingerpostError.from(thrown);
      consoleLog.error({ reason: messageOf(thrown), errors: violations }, "the resolver cannot start");
      // Also where the program's own options are at fault: no caller can mend that.
      return { error: new FingerpostError("internal", message, { violations }) };
    }
  }

  return {
    fetch(request, env, context) {
      made ??= make(env);
      return "error" in made
        ? problemResponse(made.error)
        : made.resolver.fetch(request, createCloudflarePlatform(request, context));
    },
  };
}
