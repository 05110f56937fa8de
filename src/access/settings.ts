import type { EnvReader } from "../env-reader.ts";
import { isSecureUrl, SECURE_URL_RULE } from "../secure-url.ts";
import type { AccessRule } from "./access.ts";
import { parseAccessKey, type AccessKey } from "./keys.ts";
import { isOrigin, ORIGIN_RULE, ORIGINS_MAX } from "./origins.ts";
import type { RateLimitRule } from "./rate-limit.ts";
import type { TokenRule } from "./tokens.ts";

const KEYS_MAX = 1000;
const REQUESTS_PER_SECOND_MAX = 1_000_000;

type ReadText = EnvReader["text"];
type Refuse = EnvReader["refuse"];

/**
 * Who may ask, by FINGERPOST_KEYS, FINGERPOST_JWKS_URL with FINGERPOST_JWT_ISSUER and FINGERPOST_JWT_AUDIENCE, or
 * FINGERPOST_OPEN. None of them is a mistake, and so is open beside the others: which one was meant would be a guess.
 */
export function readAccess(reader: EnvReader): AccessRule {
  const { text, refuse } = reader;
  const open = reader.flag("FINGERPOST_OPEN");
  const keysText = text("FINGERPOST_KEYS");
  const jwt = readTokenRule(text, refuse);
  if (open) {
    if (keysText !== undefined) refuse("FINGERPOST_OPEN", "must not be true beside FINGERPOST_KEYS");
    if (jwt) refuse("FINGERPOST_OPEN", "must not be true beside FINGERPOST_JWKS_URL");
    return { type: "open" };
  }
  if (keysText === undefined && !jwt) {
    refuse("FINGERPOST_KEYS", "is required, unless FINGERPOST_JWKS_URL is set or FINGERPOST_OPEN is true");
  }
  const keys = keysText === undefined ? [] : readKeys(keysText, refuse);
  return { type: "keys", keys, ...(jwt ? { jwt } : {}) };
}

function readKeys(keysText: string, refuse: Refuse): readonly AccessKey[] {
  const keys: AccessKey[] = [];
  const nameByDigest = new Map<string, string>();
  const entries = keysText.split(",");
  if (entries.length > KEYS_MAX) refuse("FINGERPOST_KEYS", `must be at most ${KEYS_MAX} keys`);
  for (const [index, entry] of entries.entries()) {
    const key = parseAccessKey(entry);
    if ("problem" in key) {
      refuse("FINGERPOST_KEYS", `entry ${index + 1}: ${key.problem}`);
      continue;
    }
    const digest = key.digest.join(" ");
    const same = nameByDigest.get(digest);
    if (same !== undefined)
      refuse("FINGERPOST_KEYS", `"${same}" and "${key.name}" are the same key: whose scopes count?`);
    nameByDigest.set(digest, key.name);
    keys.push(key);
  }
  return keys;
}

/** A JWT without the issuer and the audience to hold it against would open to whoever has any token of the same issuer. */
function readTokenRule(text: ReadText, refuse: Refuse): TokenRule | undefined {
  const jwksUrl = text("FINGERPOST_JWKS_URL");
  const issuer = text("FINGERPOST_JWT_ISSUER");
  const audience = text("FINGERPOST_JWT_AUDIENCE");
  if (jwksUrl === undefined) {
    if (issuer !== undefined) refuse("FINGERPOST_JWT_ISSUER", "means nothing without FINGERPOST_JWKS_URL");
    if (audience !== undefined) refuse("FINGERPOST_JWT_AUDIENCE", "means nothing without FINGERPOST_JWKS_URL");
    return undefined;
  }
  if (!isSecureUrl(jwksUrl)) refuse("FINGERPOST_JWKS_URL", SECURE_URL_RULE);
  if (issuer === undefined) refuse("FINGERPOST_JWT_ISSUER", "is required beside FINGERPOST_JWKS_URL");
  if (audience === undefined) refuse("FINGERPOST_JWT_AUDIENCE", "is required beside FINGERPOST_JWKS_URL");
  return { jwksUrl, issuer: issuer ?? "", audience: audience ?? "" };
}

/** FINGERPOST_RATE_LIMIT: requests a second of one caller. */
export function readRateLimit(text: ReadText, refuse: Refuse): RateLimitRule {
  const given = text("FINGERPOST_RATE_LIMIT");
  if (given === undefined) return {};
  const perSecond = /^[1-9]\d{0,6}$/.test(given) ? Number(given) : Number.NaN;
  if (perSecond <= REQUESTS_PER_SECOND_MAX) return { perSecond };
  refuse("FINGERPOST_RATE_LIMIT", `must be a whole number of 1 to ${REQUESTS_PER_SECOND_MAX} requests a second`);
  return {};
}

/** FINGERPOST_CORS_ORIGINS: origins separated by commas, or `*` alone. */
export function readCorsOrigins(text: ReadText, refuse: Refuse): readonly string[] {
  const origins = (text("FINGERPOST_CORS_ORIGINS") ?? "").split(",").map((origin) => origin.trim());
  if (origins.length === 1 && (origins[0] === "" || origins[0] === "*")) return origins.filter(Boolean);
  if (origins.length > ORIGINS_MAX) refuse("FINGERPOST_CORS_ORIGINS", `must be at most ${ORIGINS_MAX} origins`);
  for (const [index, origin] of origins.entries()) {
    if (!isOrigin(origin)) refuse("FINGERPOST_CORS_ORIGINS", `entry ${index + 1} ${ORIGIN_RULE}`);
  }
  return origins;
}
