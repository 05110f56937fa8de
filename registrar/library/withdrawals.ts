import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { trying } from "./trying.ts";

export interface WithdrawalsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The registrar is closed: what it holds is deregistered with it. */
  readonly closing: AbortSignal;
}

/**
 * Takes back what a registration that was given up may have made: its last write goes on, and nothing else would ever end
 * what it makes. At most one an instance, and each for as long as it takes: an etcd that was away for an hour may still
 * have it.
 */
export interface Withdrawals {
  /** Runs `attempt`, and `deregister` when it fails, unless the instance stands by another call, or one is under way. */
  unlessRegistered(key: string, attempt: () => Promise<void>, deregister: () => Promise<void>): Promise<void>;
  /** It does not stand any more. */
  ended(key: string): void;
  /** Waits for those under way, which end with `closing`. */
  close(): Promise<void>;
}

interface Registering {
  calls: number;
  stands: boolean;
  /** Under way: only once no call is, and it does not stand. */
  withdrawal?: AbortController;
}

export function createWithdrawals({ clock, random, log, closing }: WithdrawalsOptions): Withdrawals {
  const known = new Map<string, Registering>();
  const running = new Set<Promise<void>>();

  async function withdraw(key: string, registering: Registering, deregister: () => Promise<void>): Promise<void> {
    const { signal } = (registering.withdrawal = new AbortController());
    try {
      const until = AbortSignal.any([closing, signal]);
      await trying({ clock, random, timeoutMs: Infinity, closing: until }, deregister);
    } catch (error) {
      if (!signal.aborted && !closing.aborted) log.warn({ key, error: messageOf(error) }, "instance not taken back");
    }
    if (known.get(key) === registering) known.delete(key);
  }

  /** A new call takes its place in the instance's line, after a deregistration that is in it already. */
  function enter(key: string): Registering {
    let registering = known.get(key);
    if (!registering || registering.withdrawal) {
      registering?.withdrawal?.abort();
      registering = { calls: 0, stands: false };
      known.set(key, registering);
    }
    registering.calls += 1;
    return registering;
  }

  return {
    async unlessRegistered(key, attempt, deregister) {
      const registering = enter(key);
      try {
        await attempt();
        registering.stands = true;
      } finally {
        registering.calls -= 1;
        if (!registering.stands && registering.calls === 0) {
          const withdrawal = withdraw(key, registering, deregister).finally(() => running.delete(withdrawal));
          running.add(withdrawal);
        }
      }
    },
    ended(key) {
      const registering = known.get(key);
      if (!registering) return;
      registering.stands = false;
      if (registering.calls === 0) known.delete(key);
    },
    async close() {
      await Promise.all(running);
    },
  };
}
