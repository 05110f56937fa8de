import type { Clock } from "../kernel/clock.ts";
import type { Random } from "../kernel/random.ts";
import { isLoopback, listen, type ListenAddress } from "../node/listen.ts";
import type { Log } from "../node/log.ts";
import { optionsOf } from "./compose.ts";
import { parseEnv } from "./env.ts";
import type { Env } from "./env-reader.ts";
import type { Background } from "./lookup/flight.ts";
import { createResolver } from "./resolver.ts";

export interface ResolverConfig {
  readonly listen: ListenAddress;
  /** The same variables as the Worker's. */
  readonly env: Env;
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

/**
 * The resolver as a Node process: the same app, without a colo cache. Rejects as `parseEnv` throws, and with `conflict`
 * when the port is taken.
 */
export async function runResolver(
  config: ResolverConfig,
  { log, clock, random }: ResolverDependencies,
): Promise<RunningResolver> {
  const settings = parseEnv(config.env);
  const resolver = createResolver({ ...optionsOf(settings), clock, random, log });
  const underWay = new Set<Promise<unknown>>();
  const background: Background = (work) => {
    underWay.add(work);
    const forget = () => void underWay.delete(work);
    work.then(forget, forget);
  };
  const listener = await listen(config.listen, (request) => resolver.fetch(request, { background }));
  const { namespaces, access } = settings;
  const publicKeys = settings.publicKeys.length;
  const trust = publicKeys === 0 ? ": without a public key, nothing is verified" : "";
  log.info({ url: listener.url, namespaces, publicKeys }, `the resolver listens${trust}`);
  if (access.type === "open" && !isLoopback(config.listen.host)) {
    log.warn({ url: listener.url }, "FINGERPOST_OPEN is true: whoever reaches this address is answered");
  }
  return {
    url: listener.url,
    async close() {
      resolver.endWatches();
      await listener.close();
      await Promise.allSettled(underWay);
    },
  };
}
