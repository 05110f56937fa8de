import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { EtcdError, type Etcd } from "../etcd/port.ts";
import { toCallerError } from "./caller-errors.ts";

const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 5000;

export interface FirstContactOptions {
  readonly etcd: Pick<Etcd, "get">;
  /** A key the agent's role may read. */
  readonly key: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Reads from etcd until it is answered once: the proof that address, credentials and role are right. Afterwards it
 * asks no more, since every agent asking all the time would be a load of its own.
 */
export interface FirstContact {
  /** Why etcd has not been reached, for anybody's eyes; undefined once it has. */
  failure(): string | undefined;
  close(): Promise<void>;
}

export function startFirstContact({ etcd, key, clock, random, log }: FirstContactOptions): FirstContact {
  const stop = new AbortController();
  const backoff = createBackoff({ baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random });
  let failure: string | undefined = "etcd has not answered yet.";
  let logged = "";

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await etcd.get(key);
        failure = undefined;
        log.info("etcd answers");
        return;
      } catch (error) {
        failure = toCallerError(error).message;
        // Each reason once: the same line every few seconds tells nothing new.
        const reason = messageOf(error);
        const refuses = error instanceof EtcdError && error.code !== "unavailable";
        if (reason !== logged && !stop.signal.aborted)
          log.warn({ error: reason }, `etcd ${refuses ? "refuses this registrar" : "does not answer"}, trying again`);
        logged = reason;
      }
      await sleep(clock, backoff.next(), stop.signal);
    }
  }

  const running = run();
  return {
    failure: () => failure,
    async close() {
      stop.abort();
      await running;
    },
  };
}
