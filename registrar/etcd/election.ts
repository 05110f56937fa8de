import { ELECTION_KEY } from "../../contract/etcd-keys.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import type { Etcd } from "./port.ts";

const ELECTION_TTL_SECONDS_DEFAULT = 5;
/** Between tries that failed. */
const RETRY_BACKOFF = { baseMs: 250, capMs: 5000 };

export interface ElectionOptions {
  readonly etcd: Pick<Etcd, "get" | "transact" | "grantLease" | "revokeLease">;
  readonly leases: Pick<LeaseKeeper, "add" | "remove">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The value of the key: for people who look who leads. */
  readonly identity: string;
  /**
   * How long nobody leads after a leader has died; etcd's least is about 2. Sensible: 5 to 15. Lower, and a short stall
   * of etcd or of the leader changes leaders; higher, and what is published stands still for longer.
   */
  readonly ttlSeconds?: number;
}

/** One time of leading, from winning until `lost`. */
export interface Term {
  /** The create revision of the key: it grows from term to term. */
  readonly revision: number;
  /** Aborted once the term is over: its lease has ended, a `verify` found the key gone, or it was resigned. */
  readonly lost: AbortSignal;
  /** Whether the key is still ours, by a linearizable read. Rejects with an EtcdError when etcd cannot tell. */
  verify(): Promise<boolean>;
  /** Ends the term, and with it the key, so that another can lead at once. An etcd out of reach lets it expire. */
  resign(): Promise<void>;
}

/**
 * Who leads: whoever created ELECTION_KEY, under a lease of its own, for as long as that lives. Leading here does not
 * protect what is written elsewhere: a leader that is cut off does not know it, so writers compare epochs as well.
 */
export interface Election {
  /**
   * Waits for its turn and wins; failures are tried again with backoff. While another leads, the key is read every
   * half TTL, or at once after `keyDeleted`. Rejects with the signal's reason when `signal` aborts. One at a time.
   */
  campaign(signal: AbortSignal): Promise<Term>;
  /** Tells a waiting campaign that the key is gone, as a watch sees it. */
  keyDeleted(): void;
}

export function createElection(options: ElectionOptions): Election {
  const { etcd, leases, clock, random, log, identity, ttlSeconds = ELECTION_TTL_SECONDS_DEFAULT } = options;
  let wake = new AbortController();

  /** One try; undefined when somebody else leads. */
  async function tryToLead(): Promise<Term | undefined> {
    // A look first, since a lease is a write to etcd's log, and standbys come by again and again.
    if ((await etcd.get(ELECTION_KEY)).entry) return undefined;
    const granted = await etcd.grantLease(ttlSeconds);
    let won = false;
    try {
      const { succeeded, revision } = await etcd.transact(
        [{ key: ELECTION_KEY, target: "createRevision", equals: 0 }],
        [{ type: "put", key: ELECTION_KEY, value: identity, lease: granted.lease }],
      );
      won = succeeded;
      return won ? begin(granted.lease, granted.ttlSeconds, revision) : undefined;
    } finally {
      // A transaction without an answer may have been made: the end of the lease undoes that, too.
      if (!won) await revoke(granted.lease);
    }
  }

  function begin(lease: string, leaseTtlSeconds: number, revision: number): Term {
    const lost = new AbortController();
    leases.add(lease, leaseTtlSeconds, (reason) => lost.abort(new Error(`the lease of the term was ${reason}`)));
    return {
      revision,
      lost: lost.signal,
      async verify() {
        const { entry } = await etcd.get(ELECTION_KEY);
        const ours = entry?.createRevision === revision && entry.lease === lease;
        if (!ours) {
          leases.remove(lease);
          lost.abort(new Error("the election key is no longer ours"));
        }
        return ours;
      },
      async resign() {
        leases.remove(lease);
        lost.abort(new Error("the term was resigned"));
        await revoke(lease);
      },
    };
  }

  /** As a courtesy to the others: a lease that nobody renews ends by itself. */
  async function revoke(lease: string): Promise<void> {
    try {
      await etcd.revokeLease(lease);
    } catch (error) {
      log.warn({ lease }, `An election lease is left to expire: ${messageOf(error)}`);
    }
  }

  return {
    async campaign(signal) {
      const backoff = createBackoff({ ...RETRY_BACKOFF, random });
      for (;;) {
        signal.throwIfAborted();
        wake = new AbortController();
        let delayMs: number;
        try {
          const term = await tryToLead();
          if (term && signal.aborted) await term.resign();
          else if (term) return term;
          backoff.reset();
          delayMs = ttlSeconds * 1000 * (0.4 + random() * 0.2);
        } catch (error) {
          delayMs = backoff.next();
          log.warn({ retryInMs: Math.round(delayMs) }, `The election failed: ${messageOf(error)}`);
        }
        await sleep(clock, delayMs, AbortSignal.any([signal, wake.signal]));
      }
    },
    keyDeleted: () => wake.abort(),
  };
}
