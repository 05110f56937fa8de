import { isName, NAME_RULE } from "../contract/names.ts";
import { parsePublicKey } from "../contract/signature.ts";
import type { AccessRule } from "./access/access.ts";
import type { RateLimitRule } from "./access/rate-limit.ts";
import { readAccess, readCorsOrigins, readRateLimit } from "./access/settings.ts";
import { createEnvReader, type Env, type EnvReader } from "./env-reader.ts";
import type { Freshness } from "./lookup/lookups.ts";
import { readNearRules, type NearRules } from "./memory/near.ts";
import { FRESHNESS_DEFAULT, WATCHERS_MAX_DEFAULT } from "./options.ts";
import { PUBLIC_KEYS_RULE } from "./lookup/opening.ts";
import { isSecureUrl, SECURE_URL_RULE } from "./secure-url.ts";

export interface Settings {
  readonly redisUrl: string;
  readonly redisToken: string;
  readonly access: AccessRule;
  readonly rateLimit: RateLimitRule;
  readonly corsOrigins: readonly string[];
  readonly namespaces: readonly [string, ...string[]];
  /** Keeps apart deployments that share what a platform keeps for them. */
  readonly deployment: string;
  readonly freshness: Freshness;
  readonly near: NearRules;
  readonly watchersMax: number;
  /** Empty: what is stored is believed. */
  readonly publicKeys: readonly string[];
  /** Variables by which something may have been meant, and which nothing reads. */
  readonly unread: readonly string[];
}

const NAMESPACES_MAX = 100;
const PUBLIC_KEYS = "FINGERPOST_PUBLIC_KEYS";
/** Two are enough for a rotation. */
const PUBLIC_KEYS_MAX = 16;
/** Milliseconds. Below, every lookup would be a reading; above, an answer is no answer any more. */
const TIMES = { least: 10, most: 60_000 };
/** Each takes memory; what a process can hold beyond this was not tried. */
const WATCHERS = { least: 1, most: 100_000 };

/**
 * Reads the resolver's environment, whatever it runs on: the one place that knows the variables and what they must be.
 * Throws `internal` that names every variable that is wrong.
 */
export function parseEnv(env: Env): Settings {
  const reader = createEnvReader(env);
  const { text, refuse } = reader;
  const redisUrl = reader.required("UPSTASH_REDIS_REST_URL");
  if (redisUrl !== "" && !isSecureUrl(redisUrl)) refuse("UPSTASH_REDIS_REST_URL", SECURE_URL_RULE);
  const deployment = text("FINGERPOST_DEPLOYMENT") ?? "fingerpost";
  if (!isName(deployment)) refuse("FINGERPOST_DEPLOYMENT", NAME_RULE);
  const settings = {
    redisUrl,
    redisToken: reader.required("UPSTASH_REDIS_REST_TOKEN"),
    access: readAccess(reader),
    rateLimit: readRateLimit(text, refuse),
    corsOrigins: readCorsOrigins(text, refuse),
    namespaces: namespacesOf(reader),
    deployment,
    freshness: freshnessOf(reader),
    watchersMax: reader.whole("FINGERPOST_WATCHERS_MAX", WATCHERS, WATCHERS_MAX_DEFAULT),
    near: readNearRules(text("FINGERPOST_NEAR"), refuse),
    publicKeys: publicKeysOf(reader, env[PUBLIC_KEYS] !== undefined),
  };
  reader.end();
  return { ...settings, unread: reader.unread() };
}

function freshnessOf(reader: EnvReader): Freshness {
  const { freshMs: fresh, swrMs: swr, budgetMs, coldBudgetMs, staleAfterMs } = FRESHNESS_DEFAULT;
  const freshMs = reader.whole("FINGERPOST_FRESH_MS", TIMES, fresh);
  const swrMs = reader.whole("FINGERPOST_SWR_MS", TIMES, Math.max(swr, freshMs));
  if (swrMs < freshMs) reader.refuse("FINGERPOST_SWR_MS", "must be at least FINGERPOST_FRESH_MS");
  return {
    freshMs,
    swrMs,
    budgetMs: reader.whole("FINGERPOST_BUDGET_MS", TIMES, budgetMs),
    coldBudgetMs: reader.whole("FINGERPOST_COLD_BUDGET_MS", TIMES, coldBudgetMs),
    staleAfterMs,
  };
}

/** Set to nothing is a mistake: left out, nothing that is stored is verified. */
function publicKeysOf({ list, refuse }: EnvReader, isSet: boolean): readonly string[] {
  const keys = list(PUBLIC_KEYS) ?? (isSet ? [""] : []);
  if (keys.length > PUBLIC_KEYS_MAX) refuse(PUBLIC_KEYS, `must be at most ${PUBLIC_KEYS_MAX}`);
  if (!keys.every(parsePublicKey)) refuse(PUBLIC_KEYS, PUBLIC_KEYS_RULE);
  return keys;
}

function namespacesOf({ list, refuse }: EnvReader): readonly [string, ...string[]] {
  const names = [...new Set(list("FINGERPOST_NAMESPACES"))];
  if (names.length > NAMESPACES_MAX) refuse("FINGERPOST_NAMESPACES", `must be at most ${NAMESPACES_MAX}`);
  if (!names.every(isName)) refuse("FINGERPOST_NAMESPACES", `each ${NAME_RULE}`);
  const [first = "default", ...others] = names;
  return [first, ...others];
}
