import type { Clock } from "../kernel/clock.ts";
import { FingerpostError } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { listen, type ListenAddress } from "../node/listen.ts";
import type { Log } from "../node/log.ts";
import type { AccessRule } from "./access/access.ts";
import { readAccess } from "./access/settings.ts";
import type { Background } from "./flight.ts";
import { createResolver } from "./resolver.ts";
import { createUpstashStore } from "./store/upstash.ts";

export interface ResolverConfig {
  readonly listen: ListenAddress;
  readonly redisRestUrl: string;
  readonly redisRestToken: string;
  /** `name=sha256 in hex`, and scopes where it has any, of each bearer key. */
  readonly keys: readonly string[];
  /** Where the issuer of JWTs shows its public keys; needs the issuer and the audience beside it. */
  readonly jwksUrl?: string | undefined;
  readonly jwtIssuer?: string | undefined;
  readonly jwtAudience?: string | undefined;
  /** Answers without a credential; excludes the others. */
  readonly open: boolean;
  /** The first is the default. */
  readonly namespaces: readonly string[];
  readonly freshMs: number;
  readonly swrMs: number;
  readonly budgetMs: number;
  readonly coldBudgetMs: number;
  /** Of the registrar's signing keys. Left out, or empty, what is stored is believed. */
  readonly publicKeys?: readonly string[];
}

export interface ResolverDependencies {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
}

export interface RunningResolver {
  readonly url: string;
  /** Takes no new request, and waits for what is under way and for the readings behind it. */
  close(): Promise<void>;
}

/** The resolver as a Node process: the same app, without a colo cache. Throws `invalid_argument`, `conflict`. */
export async function runResolver(
  config: ResolverConfig,
  dependencies: ResolverDependencies,
): Promise<RunningResolver> {
  const { log, clock, random } = dependencies;
  const { freshMs, swrMs, budgetMs, coldBudgetMs } = config;
  const [namespaceDefault, ...others] = config.namespaces;
  if (namespaceDefault === undefined) throw new FingerpostError("invalid_argument", "No namespace is configured.");
  if (swrMs < freshMs) {
    throw new FingerpostError("invalid_argument", "FINGERPOST_SWR_MS must be at least FINGERPOST_FRESH_MS.");
  }
  const resolver = createResolver({
    namespaces: [namespaceDefault, ...others],
    access: accessOf(config),
    store: createUpstashStore({
      url: config.redisRestUrl,
      token: config.redisRestToken,
      timeoutMs: Math.max(coldBudgetMs, budgetMs),
    }),
    freshness: { freshMs, swrMs, budgetMs, coldBudgetMs },
    ...(config.publicKeys ? { publicKeys: config.publicKeys } : {}),
    clock,
    random,
    log,
  });
  const underWay = new Set<Promise<unknown>>();
  const background: Background = (work) => {
    underWay.add(work);
    const forget = () => void underWay.delete(work);
    work.then(forget, forget);
  };
  const listener = await listen(config.listen, (request) => resolver.fetch(request, { background }));
  log.info({ url: listener.url, namespaces: config.namespaces }, "the resolver listens");
  return {
    url: listener.url,
    async close() {
      resolver.endWatches();
      await listener.close();
      await Promise.allSettled(underWay);
    },
  };
}

function accessOf({ keys, open, jwksUrl, jwtIssuer, jwtAudience }: ResolverConfig): AccessRule {
  const texts = new Map([
    ["FINGERPOST_KEYS", keys.length > 0 ? keys.join(",") : undefined],
    ["FINGERPOST_OPEN", String(open)],
    ["FINGERPOST_JWKS_URL", jwksUrl],
    ["FINGERPOST_JWT_ISSUER", jwtIssuer],
    ["FINGERPOST_JWT_AUDIENCE", jwtAudience],
  ]);
  const wrong: string[] = [];
  const rule = readAccess(
    (name) => texts.get(name),
    (name, detail) => void wrong.push(`${name} ${detail}.`),
  );
  if (wrong.length > 0) throw new FingerpostError("invalid_argument", wrong.join(" "));
  return rule;
}
