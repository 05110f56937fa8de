import { parseEnv, type Settings } from "./env.ts";
import type { Env } from "./env-reader.ts";
import type { ResolverOptions } from "./options.ts";
import { createUpstashStore } from "./store/upstash.ts";

/** What settings come to on any platform; its own parts are added by whoever composes. */
export function optionsOf({ redisUrl: url, redisToken: token, ...options }: Settings) {
  // An answer that came later than anybody waits for would still be of use to the next one, but not for longer.
  const timeoutMs = Math.max(options.freshness.coldBudgetMs, options.freshness.budgetMs);
  return { ...options, store: createUpstashStore({ url, token, timeoutMs }) } satisfies ResolverOptions;
}

/**
 * Options by the variables that the resolver has wherever it runs: UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN,
 * FINGERPOST_KEYS and the others of wrangler.toml. Throws `internal` that names every variable that is wrong.
 */
export function optionsFromEnv(env: Env): ResolverOptions {
  return optionsOf(parseEnv(env));
}
