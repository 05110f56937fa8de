import type { Clock } from "../kernel/clock.ts";
import type { Random } from "../kernel/random.ts";
import { listen } from "../node/listen.ts";
import type { Log } from "../node/log.ts";
import { createApp } from "./app.ts";
import { checkGatewayConfig, type GatewayConfig } from "./config.ts";
import { createExecutor } from "./execute.ts";
import { CONCURRENT_REQUESTS_MAX_DEFAULT, POOL_SIZE_DEFAULT, REQUEST_TIMEOUT_MS_DEFAULT } from "./limits.ts";
import { createPool } from "./pool.ts";

export interface Gateway {
  /** Without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Lets the requests under way end for a while, then gives up the connections to Redis. May be called again. */
  close(): Promise<void>;
}

export interface GatewayDependencies {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** Its abort closes the gateway. */
  readonly signal: AbortSignal;
}

/**
 * The composition root of `fingerpost gateway`. Resolves once it listens, whether or not Redis is there: until it is,
 * commands and `/readyz` are answered 503. Throws `invalid_argument` for the configuration, `conflict` for the port.
 */
export async function runGateway(config: GatewayConfig, dependencies: GatewayDependencies): Promise<Gateway> {
  const { log, clock, random, signal } = dependencies;
  checkGatewayConfig(config);
  const pool = (url: string, user: string) =>
    createPool({
      url,
      size: config.poolSize ?? POOL_SIZE_DEFAULT,
      requestTimeoutMs: config.requestTimeoutMs ?? REQUEST_TIMEOUT_MS_DEFAULT,
      clock,
      random,
      log: log.child({ user }),
    });
  const writer = pool(config.redisUrl, "read-write");
  const reader = config.readOnlyRedisUrl === undefined ? writer : pool(config.readOnlyRedisUrl, "read-only");
  const closePools = async () => {
    await Promise.all([writer.close(), reader.close()]);
  };

  const app = createApp({
    executor: createExecutor({ writer, reader }),
    token: config.token,
    readOnlyToken: config.readOnlyToken,
    concurrentRequestsMax: config.concurrentRequestsMax ?? CONCURRENT_REQUESTS_MAX_DEFAULT,
    log,
  });
  const listener = await listen(config.listen, app.fetch).catch(async (error: unknown) => {
    await closePools();
    throw error;
  });
  log.info({ url: listener.url }, "the gateway listens");

  let closed: Promise<void> | undefined;
  const close = () => (closed ??= listener.close().then(closePools));
  const onAbort = () => void close();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return { url: listener.url, port: listener.port, close };
}
