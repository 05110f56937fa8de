import type { Clock } from "../kernel/clock.ts";
import { FingerpostError } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { listen, type ListenAddress } from "../node/listen.ts";
import type { Log } from "../node/log.ts";
import type { AccessRule } from "./access/access.ts";
import { parseAccessKey, type AccessKey } from "./access/keys.ts";
import type { Background } from "./flight.ts";
import { createResolver } from "./resolver.ts";
import { createUpstashStore } from "./store/upstash.ts";

export interface ResolverConfig {
  readonly listen: ListenAddress;
  readonly redisRestUrl: string;
  readonly redisRestToken: string;
  /** `name=sha256 in hex` of each bearer key. */
  readonly keys: readonly string[];
  /** Answers without a key; excludes `keys`. */
  readonly open: boolean;
  /** The first is the default. */
  readonly namespaces: readonly string[];
  readonly freshMs: number;
  readonly swrMs: number;
  readonly budgetMs: number;
  readonly coldBudgetMs: number;
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

function accessOf({ keys, open }: ResolverConfig): AccessRule {
  if (open && keys.length > 0) {
    throw new FingerpostError("invalid_argument", "FINGERPOST_OPEN and FINGERPOST_KEYS exclude each other.");
  }
  if (open) return { type: "open" };
  if (keys.length === 0) {
    throw new FingerpostError("invalid_argument", "Set FINGERPOST_KEYS, or FINGERPOST_OPEN=true to answer anyone.");
  }
  const parsed = keys.map(parseAccessKey);
  const valid = parsed.filter((key): key is AccessKey => key !== undefined);
  if (valid.length < parsed.length) {
    throw new FingerpostError("invalid_argument", "FINGERPOST_KEYS must be name=sha256 in hex, separated by commas.");
  }
  return { type: "keys", keys: valid };
}
