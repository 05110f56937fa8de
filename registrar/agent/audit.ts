import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { Etcd, KeyValue } from "../etcd/port.ts";
import type { Held } from "./held.ts";
import type { Instances } from "./instances.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import { nextState } from "./last-holder.ts";
import type { LeasePool, PoolLease } from "./lease-pool.ts";

/** A share of the interval: enough to drift apart within some rounds. */
const JITTER = 0.1;
/**
 * Missing keys of one round whose history is read, at two or three reads each. More are missing only where somebody has
 * deleted many, or etcd was restored: they did not all move meanwhile, and should be back soon.
 */
const HISTORIES_MAX = 32;

export interface AuditOptions {
  readonly etcd: Etcd;
  readonly pool: LeasePool;
  readonly instances: Instances;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Between two rounds, give or take a tenth. */
  readonly intervalMs: number;
}

/**
 * Compares etcd with what the agent holds, one lease after the other, in one read each. Without it an agent that only
 * hears heartbeats would never learn that a key was deleted by hand, lost in a restore, or taken by another agent.
 */
export interface Audit {
  close(): Promise<void>;
}

export function startAudit(options: AuditOptions): Audit {
  const { etcd, pool, instances, queue, clock, random, log, intervalMs } = options;
  const stop = new AbortController();

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      // Agents that were started together are not to read together for ever.
      await sleep(clock, intervalMs * (1 - JITTER + random() * 2 * JITTER), stop.signal);
      for (const lease of pool.all()) {
        if (stop.signal.aborted) return;
        // Its sentinel may not be there yet, or come at any time: the recovery sees to it.
        if (lease.sentinelRevision === 0) continue;
        try {
          await check(lease);
        } catch (error) {
          // The writes and renewals tell about an etcd that is away; the rest of this round would only wait for it.
          log.debug({ lease: lease.id, error: messageOf(error) }, "audit put off");
          break;
        }
      }
    }
  }

  async function check(lease: PoolLease): Promise<void> {
    const seen = [...lease.members].flatMap((key) => {
      const held = instances.get(key);
      return held?.position.type === "written" && held.position.lease === lease ? [{ held, at: held.position }] : [];
    });
    const keys = [lease.sentinelKey, ...seen.map(({ held }) => held.key)];
    const { results, revision } = await etcd.transact(
      [],
      keys.map((key) => ({ type: "get", key })),
    );
    const [sentinel, ...entries] = results;
    if (!pool.confirms(lease, sentinel, revision)) return;
    const missing = entries.filter((entry) => entry === undefined).length;
    for (const [index, { held, at }] of seen.entries()) {
      const entry = entries[index];
      if (entry?.lease === lease.id && entry.value === held.value) continue;
      // In the instance's turn no write is under way; an unchanged position then says that the read was no older.
      await queue.runAll([held.key], async () => {
        if (held.position !== at || instances.get(held.key) !== held) return;
        const gone = { key: held.key, writtenAt: at.modRevision, goneAt: revision };
        // Who took it may have removed it on purpose since: put again, it would be a ghost.
        const latest = entry ?? (missing <= HISTORIES_MAX ? await nextState(etcd, gone) : undefined);
        if (latest && !pool.isOurs(latest.lease)) forgetMoved(held);
        else await mend(held, entry);
      });
    }
  }

  async function mend(held: Held, entry: KeyValue | undefined): Promise<void> {
    log.warn({ ...held.ref, found: entry !== undefined }, "instance was changed in etcd by somebody else");
    if (entry) await putBack(held);
    else instances.loseOne(held);
  }

  /** In its place: what counts as lost is not deleted by who deregisters it, and here something is there. */
  async function putBack(held: Held): Promise<void> {
    const { registration } = held;
    try {
      const change = { registrationAfter: () => registration, create: true, takeOver: false };
      if ((await instances.write(held, change)) === "moved") forgetMoved(held);
    } catch (error) {
      log.debug({ ...held.ref, error: messageOf(error) }, "instance not put back, trying again");
      instances.loseOne(held);
    }
  }

  function forgetMoved(held: Held): void {
    instances.forget(held);
    log.info({ ...held.ref }, "instance has moved to another agent");
  }

  const running = run();
  return {
    async close() {
      stop.abort();
      await running;
    },
  };
}
