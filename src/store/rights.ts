import { vacantKey } from "../../contract/redis-keys.ts";
import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Background } from "../lookup/flight.ts";
import type { ResolverLog } from "../log.ts";
import type { ReadStore } from "./redis.ts";

/** What lives shorter is not worth a command, and a cold start with its crowd is over by then. */
const CHECKED_AFTER_MS = 10_000;

export interface RightsCheckOptions {
  readonly store: ReadStore;
  /** One that is served. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: ResolverLog;
}

/**
 * Tells an operator whose resolver holds credentials that may write: whoever gets hold of them at the edge could then
 * change what everybody reads. To be called whenever Redis has answered; asks it once in an isolate's life, behind the
 * answers, and nothing but the log hears of the outcome.
 */
export function createRightsCheck({ store, namespace, clock, log }: RightsCheckOptions) {
  const madeAt = clock.monotonic();
  let due = true;

  async function check(): Promise<void> {
    try {
      if (!(await store.mayWrite?.(vacantKey(namespace)))) return;
      log.warn({}, "Redis' credentials may write: set UPSTASH_REDIS_REST_TOKEN to the read-only token");
    } catch (error) {
      log.info({ reason: messageOf(error) }, "whether Redis' credentials may write could not be found out");
    }
  }

  return (background: Background): void => {
    if (!due || clock.monotonic() - madeAt < CHECKED_AFTER_MS) return;
    due = false;
    background(check());
  };
}
