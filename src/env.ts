import { isName, NAME_RULE } from "../contract/names.ts";
import { parsePublicKey } from "../contract/signature.ts";
import { FingerpostError, type Violation } from "../kernel/errors.ts";
import type { AccessRule } from "./access/access.ts";
import type { RateLimitRule } from "./access/rate-limit.ts";
import { readAccess, readCorsOrigins, readRateLimit, type Refuse } from "./access/settings.ts";
import type { Freshness } from "./lookups.ts";
import { FRESHNESS_DEFAULT, WATCHERS_MAX_DEFAULT } from "./options.ts";
import { PUBLIC_KEYS_RULE } from "./opening.ts";
import { isSecureUrl, SECURE_URL_RULE } from "./secure-url.ts";

/** The Worker's variables and secrets, as wrangler hands them over. */
export type Env = Readonly<Record<string, unknown>>;

export interface WorkerSettings {
  readonly redisUrl: string;
  readonly redisToken: string;
  readonly access: AccessRule;
  readonly rateLimit: RateLimitRule;
  readonly corsOrigins: readonly string[];
  readonly namespaces: readonly [string, ...string[]];
  readonly deployment: string;
  readonly freshness: Freshness;
  readonly watchersMax: number;
  /** Empty: what is stored is believed. */
  readonly publicKeys: readonly string[];
}

const NAMESPACES_MAX = 100;
/** Two are enough for a rotation. */
const PUBLIC_KEYS_MAX = 16;
const TIME_MS_MIN = 10;
const TIME_MS_MAX = 60_000;
/** Each takes memory; what a process can hold beyond this was not tried. */
const WATCHERS_MAX = 100_000;

/**
 * Reads the Worker's environment. Throws `internal` that names every variable that is wrong, and never a value: what is
 * meant to be a name may be a secret in the wrong place.
 */
export function parseEnv(env: Env): WorkerSettings {
  const violations: Violation[] = [];
  const refuse = (parameter: string, detail: string) => void violations.push({ parameter, detail });
  const text = (name: string) => {
    const value = env[name];
    return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
  };
  const required = (name: string) => {
    const value = text(name);
    if (value === undefined) refuse(name, "is required");
    return value ?? "";
  };
  const whole = (name: string, fallback: number, min: number, max: number, unit = "") => {
    const value = text(name);
    if (value === undefined) return fallback;
    const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    refuse(name, `must be a whole number of ${min} to ${max}${unit}`);
    return fallback;
  };
  const milliseconds = (name: string, fallback: number) =>
    whole(name, fallback, TIME_MS_MIN, TIME_MS_MAX, " milliseconds");

  const redisUrl = required("UPSTASH_REDIS_REST_URL");
  if (redisUrl !== "" && !isSecureUrl(redisUrl)) {
    refuse("UPSTASH_REDIS_REST_URL", SECURE_URL_RULE);
  }
  const deployment = text("FINGERPOST_DEPLOYMENT") ?? "fingerpost";
  if (!isName(deployment)) refuse("FINGERPOST_DEPLOYMENT", NAME_RULE);
  const freshMs = milliseconds("FINGERPOST_FRESH_MS", FRESHNESS_DEFAULT.freshMs);
  const swrMs = milliseconds("FINGERPOST_SWR_MS", Math.max(FRESHNESS_DEFAULT.swrMs, freshMs));
  if (swrMs < freshMs) refuse("FINGERPOST_SWR_MS", "must be at least FINGERPOST_FRESH_MS");
  const settings: WorkerSettings = {
    redisUrl,
    redisToken: required("UPSTASH_REDIS_REST_TOKEN"),
    access: readAccess(text, refuse),
    rateLimit: readRateLimit(text, refuse),
    corsOrigins: readCorsOrigins(text, refuse),
    namespaces: namespacesOf(text("FINGERPOST_NAMESPACES") ?? "default", refuse),
    deployment,
    freshness: {
      freshMs,
      swrMs,
      budgetMs: milliseconds("FINGERPOST_BUDGET_MS", FRESHNESS_DEFAULT.budgetMs),
      coldBudgetMs: milliseconds("FINGERPOST_COLD_BUDGET_MS", FRESHNESS_DEFAULT.coldBudgetMs),
      staleAfterMs: FRESHNESS_DEFAULT.staleAfterMs,
    },
    watchersMax: whole("FINGERPOST_WATCHERS_MAX", WATCHERS_MAX_DEFAULT, 1, WATCHERS_MAX),
    publicKeys: publicKeysOf(text("FINGERPOST_PUBLIC_KEYS"), refuse),
  };
  if (violations.length > 0) {
    throw new FingerpostError("internal", "The resolver's environment is not valid.", { violations });
  }
  return settings;
}

/** Set to nothing, it is left out; a list without a key would take signatures for checked. */
function publicKeysOf(given: string | undefined, refuse: Refuse): readonly string[] {
  const keys = given?.split(",").map((key) => key.trim()) ?? [];
  if (keys.length > PUBLIC_KEYS_MAX) refuse("FINGERPOST_PUBLIC_KEYS", `must be at most ${PUBLIC_KEYS_MAX}`);
  if (!keys.every(parsePublicKey)) refuse("FINGERPOST_PUBLIC_KEYS", PUBLIC_KEYS_RULE);
  return keys;
}

function namespacesOf(text: string, refuse: Refuse): readonly [string, ...string[]] {
  const names = [...new Set(text.split(",").map((name) => name.trim()))];
  if (names.length > NAMESPACES_MAX) refuse("FINGERPOST_NAMESPACES", `must be at most ${NAMESPACES_MAX}`);
  if (!names.every(isName)) refuse("FINGERPOST_NAMESPACES", `each ${NAME_RULE}`);
  const [first = "default", ...others] = names;
  return [first, ...others];
}
