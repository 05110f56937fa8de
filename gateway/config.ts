import type { ListenAddress } from "../node/listen.ts";
import { FingerpostError, type Violation } from "../kernel/errors.ts";
import { POOL_SIZE_MAX } from "./limits.ts";

export interface GatewayConfig {
  readonly listen: ListenAddress;
  /** May read and write. Required: there is no open gateway. */
  readonly token: string;
  /** May only read, and neither list the keys nor run scripts. */
  readonly readOnlyToken?: string | undefined;
  /**
   * `redis://` or `rediss://` of the ACL user behind `token`. Besides what callers run it needs COMMAND, MULTI and
   * EXEC. `+@all -@admin -@dangerous` is a good start.
   */
  readonly redisUrl: string;
  /**
   * The ACL user behind `readOnlyToken`, a second wall: without it the user of `redisUrl` serves both, and only the
   * gateway's own table stands between a reader and a write.
   */
  readonly readOnlyRedisUrl?: string | undefined;
  /**
   * Connections for each user; default 4, at most 64. Requests share them. Too few: a large reply holds up everybody.
   * Too many: nothing is gained, since Redis runs one command at a time.
   */
  readonly poolSize?: number | undefined;
  /**
   * How long Redis may take for one request, milliseconds; default 5000. Past it the request fails with 503 and its
   * connection is replaced, with whatever else was waiting on it. Too low: slow commands cut off their neighbours.
   * Too high: a Redis that has gone silent is noticed late.
   */
  readonly requestTimeoutMs?: number | undefined;
  /**
   * Requests at one moment for each of the two tokens, so that readers cannot take the places of writers; default 1000,
   * and more are answered 429. It bounds memory, together with the bytes held.
   */
  readonly concurrentRequestsMax?: number | undefined;
}

/** Throws `invalid_argument` with every broken rule; no message holds a token or a URL, which has a password in it. */
export function checkGatewayConfig(config: GatewayConfig): void {
  const violations: Violation[] = [];
  const rule = (holds: boolean, parameter: keyof GatewayConfig, detail: string) => {
    if (!holds) violations.push({ parameter, detail });
  };
  const positive = (value: number | undefined) => value === undefined || (Number.isInteger(value) && value > 0);
  rule(config.token !== "", "token", "must not be empty");
  rule(config.readOnlyToken !== "", "readOnlyToken", "must not be empty");
  rule(config.readOnlyToken !== config.token, "readOnlyToken", "must differ from the token that may write");
  rule(isRedisUrl(config.redisUrl), "redisUrl", "must be a redis:// or rediss:// URL");
  rule(
    config.readOnlyRedisUrl === undefined || isRedisUrl(config.readOnlyRedisUrl),
    "readOnlyRedisUrl",
    "must be a redis:// or rediss:// URL",
  );
  rule(
    positive(config.poolSize) && (config.poolSize ?? 1) <= POOL_SIZE_MAX,
    "poolSize",
    `must be a whole number from 1 to ${POOL_SIZE_MAX}`,
  );
  rule(positive(config.requestTimeoutMs), "requestTimeoutMs", "must be a whole number of milliseconds above 0");
  rule(positive(config.concurrentRequestsMax), "concurrentRequestsMax", "must be a whole number above 0");
  if (violations.length > 0) {
    throw new FingerpostError("invalid_argument", "The gateway's configuration is not valid.", { violations });
  }
}

function isRedisUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, hostname } = new URL(value);
  return (protocol === "redis:" || protocol === "rediss:") && hostname !== "";
}
