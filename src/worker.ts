import { problemResponse } from "../contract/problem.ts";
import { systemClock } from "../kernel/clock.ts";
import { FingerpostError, messageOf } from "../kernel/errors.ts";
import { systemRandom } from "../kernel/random.ts";
import { parseEnv, type Env } from "./env.ts";
import type { ResolverLog } from "./log.ts";
import { createResolver, MEMORY_DEFAULT, type Resolver } from "./resolver.ts";
import { createSteadyClock } from "./steady-clock.ts";
import { createColoCache, type CacheApi } from "./store/colo.ts";
import { createUpstashStore } from "./store/redis.ts";

/** The parts of Cloudflare's own that are used; everything else is the platform-neutral resolver. */
interface ExecutionContext {
  waitUntil(work: Promise<unknown>): void;
}
declare const caches: { readonly default: CacheApi };

const log: ResolverLog = {
  info: (fields, message) => console.log(line("info", fields, message)),
  warn: (fields, message) => console.warn(line("warn", fields, message)),
  error: (fields, message) => console.error(line("error", fields, message)),
};

function line(level: string, fields: object, message: string): string {
  return JSON.stringify({ level, ...fields, message });
}

/** The composition root of an isolate. The resolver is made with the first request, which brings the environment. */
function createWorker() {
  let made: { readonly resolver: Resolver } | { readonly error: FingerpostError } | undefined;

  function make(env: Env): NonNullable<typeof made> {
    try {
      const { redisUrl: url, redisToken: token, deployment, ...settings } = parseEnv(env);
      const storeTimeoutMs = Math.max(settings.freshness.coldBudgetMs, settings.freshness.budgetMs);
      const resolver = createResolver({
        ...settings,
        store: createUpstashStore({ url, token, timeoutMs: storeTimeoutMs }),
        storeTimeoutMs,
        colo: createColoCache(caches.default, deployment),
        memory: MEMORY_DEFAULT,
        clock: createSteadyClock(systemClock),
        random: systemRandom,
        log,
      });
      return { resolver };
    } catch (thrown) {
      const error = FingerpostError.from(thrown);
      log.error({ reason: messageOf(thrown), errors: error.violations }, "the resolver cannot start");
      return { error };
    }
  }

  return {
    fetch(request: Request, env: Env, context: ExecutionContext): Response | Promise<Response> {
      made ??= make(env);
      return "error" in made
        ? problemResponse(made.error)
        : made.resolver.fetch(request, (work) => context.waitUntil(work));
    },
  };
}

export default createWorker();
