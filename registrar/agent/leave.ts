import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import type { Instances } from "./instances.ts";
import type { LeasePool, PoolLease } from "./lease-pool.ts";
import { sentinelAt, type BatchItem, type Writes } from "./writes.ts";

/** Leases emptied at a time. */
const BATCHES_MAX = 4;

export interface LeaveOptions {
  readonly pool: LeasePool;
  readonly instances: Instances;
  readonly writes: Writes;
  readonly clock: Clock;
  readonly log: Log;
  /** No batch starts after this; what is left then ends with its lease. */
  readonly budgetMs: number;
}

/**
 * Deregisters every instance, a lease in one transaction. The keys go before their sentinel, which is what tells a
 * departure on purpose from the death of an agent. For when nothing else writes any more.
 */
export async function leave({ pool, instances, writes, clock, log, budgetMs }: LeaveOptions): Promise<void> {
  const deadlineMs = clock.monotonic() + budgetMs;
  const leases = [...pool.all()];

  async function work(): Promise<void> {
    for (let lease = leases.pop(); lease; lease = leases.pop()) {
      if (clock.monotonic() >= deadlineMs) return;
      await empty(lease);
    }
  }

  async function empty(lease: PoolLease): Promise<void> {
    const items = [...lease.members].flatMap((key): BatchItem[] => {
      const position = instances.get(key)?.position;
      if (position?.type !== "written" || position.lease !== lease) return [];
      return [{ key, expected: position.modRevision, operation: { type: "delete", key } }];
    });
    if (items.length === 0) return;
    try {
      await writes.batch(sentinelAt(lease), [], items);
    } catch (error) {
      log.warn({ lease: lease.id, instances: items.length, error: messageOf(error) }, "instances left to their lease");
    }
  }

  await Promise.all(Array.from({ length: BATCHES_MAX }, work));
}
