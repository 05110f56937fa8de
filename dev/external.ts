import { resolve } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says is to be used instead of servers of our own. */
export interface External {
  /** The registrar's variables for an etcd that runs already; undefined without one. */
  readonly etcd: (Environment & { readonly FINGERPOST_ETCD_ENDPOINTS: string }) | undefined;
  readonly redis: { readonly url: string; readonly token: string } | undefined;
  /** What was set but cannot be used as it is, each a sentence. */
  readonly warnings: readonly string[];
}

const ETCD_VARIABLES = ["USERNAME", "PASSWORD", "PASSWORD_FILE", "CA", "CERT", "KEY"].map(
  (name) => `FINGERPOST_ETCD_${name}`,
);
/** Paths, which the registrar would read from a folder of its own. */
const PATHS = /_(FILE|CA|CERT|KEY)$/;

/**
 * FINGERPOST_ETCD_ENDPOINTS replaces our etcd, and with it UPSTASH_REDIS_REST_URL our Redis and gateway. Never without
 * it: a Redis that someone uses would be filled from an etcd that is empty and gone in an hour. Throws when a token is
 * missing.
 */
export function readExternal(env: Environment): External {
  const endpoints = env["FINGERPOST_ETCD_ENDPOINTS"];
  const url = env["UPSTASH_REDIS_REST_URL"];
  const token = env["UPSTASH_REDIS_REST_TOKEN"];
  if (!endpoints) {
    const ignored =
      "UPSTASH_REDIS_REST_URL is set and not used: it is taken only together with FINGERPOST_ETCD_ENDPOINTS";
    return { etcd: undefined, redis: undefined, warnings: url ? [ignored] : [] };
  }
  const given = ETCD_VARIABLES.flatMap((name) => {
    const value = env[name];
    return value ? [[name, PATHS.test(name) ? resolve(value) : value] as const] : [];
  });
  const etcd = { ...Object.fromEntries(given), FINGERPOST_ETCD_ENDPOINTS: endpoints };
  if (!url) return { etcd, redis: undefined, warnings: [] };
  if (!token)
    throw new Error("UPSTASH_REDIS_REST_URL is set, but UPSTASH_REDIS_REST_TOKEN is not: set both or neither.");
  return { etcd, redis: { url, token }, warnings: [] };
}
