import { encodeRegistration, type Registration } from "../../contract/registration.ts";
import { EtcdError, type KeyValue } from "../etcd/port.ts";
import type { Held, LostPosition } from "./held.ts";
import type { LeasePool, PoolLease } from "./lease-pool.ts";
import { recordOf, type StateJournal } from "./state/records.ts";
import type { PutOutcome, Writes } from "./writes.ts";

/** Leases that one write may find lost under it before it gives up. */
const LEASES_PER_WRITE_MAX = 3;

export interface InstancesOptions {
  readonly pool: LeasePool;
  readonly writes: Writes;
  readonly journal: StateJournal;
  /** The agent no longer answers for this instance. */
  readonly onForget: (key: string) => void;
  /** The lease of these instances has ended; they are to be put again. */
  readonly recover: (namespace: string, keys: readonly string[]) => void;
}

interface WriteRequest {
  readonly registrationAfter: (existing: KeyValue | undefined) => Registration;
  /** Whether to make the key again when somebody has deleted it. */
  readonly create: boolean;
  readonly takeOver: boolean;
}

type WriteOutcome = "created" | "replaced" | "moved" | "absent";

/**
 * The instances an agent holds, and what their writes do to them. `write` and `remove` are for the instance's own turn
 * of the queue only.
 */
export interface Instances {
  get(key: string): Held | undefined;
  all(): Iterable<Held>;
  /** How many are held, with those whose first write is under way. */
  size(): number;
  add(held: Held): void;
  /**
   * Writes an instance in the state `registrationAfter` gives. Rejects with an EtcdError; the instance is then
   * `uncertain` if the write may have taken place, and otherwise as before.
   */
  write(held: Held, request: WriteRequest): Promise<WriteOutcome>;
  /** Has what changed here, and not in etcd, outlive this process. */
  note(held: Held): void;
  /** Deletes it from etcd, unless another agent has it by now, and forgets it. Rejects as `write` does. */
  remove(held: Held): Promise<void>;
  /** No longer answers for it; etcd is left as it is. */
  forget(held: Held): void;
  /** Marks what was written under this lease as lost. */
  lose(lease: PoolLease): void;
  /** Forgets what was written under this lease. */
  forgetAll(lease: PoolLease): void;
  /** Marks one instance as lost. */
  loseOne(held: Held): void;
}

export function createInstances({ pool, writes, journal, onForget, recover }: InstancesOptions): Instances {
  const instances = new Map<string, Held>();

  async function slotOf(held: Held): Promise<{ readonly lease: PoolLease; readonly expected: number | undefined }> {
    const { position } = held;
    const uncertain = position.type === "uncertain";
    if (position.type === "written") return { lease: position.lease, expected: position.modRevision };
    if (uncertain) await fenceOff(position);
    if (uncertain && position.lease.state === "open") return { lease: position.lease, expected: undefined };
    const lease = await pool.acquire(held.ref.namespace, held.key);
    return { lease, expected: uncertain ? undefined : 0 };
  }

  /** Once for all writes of unknown outcome under a lease: they often fail together. */
  async function fenceOff({
    lease,
    sentinelRevision,
  }: Extract<Held["position"], { type: "uncertain" }>): Promise<void> {
    if (lease.state === "open" && lease.sentinelRevision === sentinelRevision) await writes.fence(lease);
  }

  /** Takes the outcome of a write under `lease`, which may have ended in the meantime. */
  function settle(held: Held, lease: PoolLease, modRevision: number | undefined): void {
    if (lease.state === "open") {
      held.position =
        modRevision === undefined
          ? { type: "uncertain", lease, sentinelRevision: lease.sentinelRevision }
          : { type: "written", lease, modRevision };
    } else {
      loseOne(held, { lost: lease, writtenAt: modRevision });
    }
  }

  function loseOne(held: Held, was?: LostPosition): void {
    if (held.confirmed) {
      // Its lease may be open, and then has room again.
      if ("lease" in held.position) pool.release(held.position.lease, held.key);
      held.position = { type: "lost", ...(was && { was }) };
      recover(held.ref.namespace, [held.key]);
    } else {
      // Never answered for: with its lease whatever was written is gone.
      forget(held);
    }
  }

  function forget(held: Held): void {
    if (instances.get(held.key) === held) {
      instances.delete(held.key);
      if (held.confirmed) journal.append({ type: "instance-gone", ...held.ref });
    }
    onForget(held.key);
    if ("lease" in held.position) pool.release(held.position.lease, held.key);
  }

  return {
    get: (key) => instances.get(key),
    all: () => instances.values(),
    size: () => instances.size,

    add(held) {
      instances.set(held.key, held);
    },

    async write(held, { registrationAfter, create, takeOver }) {
      for (let tries = 0; tries < LEASES_PER_WRITE_MAX; tries++) {
        const { lease, expected } = await slotOf(held);
        let registration = held.registration;
        const valueAfter = (existing: KeyValue | undefined) => {
          registration = registrationAfter(existing);
          return encodeRegistration(registration);
        };
        let outcome: PutOutcome;
        try {
          outcome = await writes.put({ key: held.key, lease, expected, valueAfter, create, takeOver });
        } catch (error) {
          if (isOutcomeUnknown(error)) settle(held, lease, undefined);
          else if (!("lease" in held.position)) pool.release(lease, held.key);
          throw error;
        }
        if (outcome.type === "written") {
          held.registration = registration;
          held.value = outcome.value;
          held.confirmed = true;
          journal.append(recordOf(held));
          // A lost lease may have made us forget it meanwhile, before anything of it was confirmed.
          instances.set(held.key, held);
          settle(held, lease, outcome.modRevision);
          return outcome.created ? "created" : "replaced";
        }
        if (outcome.type !== "lease-lost") {
          if (!("lease" in held.position)) pool.release(lease, held.key);
          return outcome.type;
        }
        // With its lease another process of this agent has taken the instance.
        if (lease.state === "taken" && !takeOver) return "moved";
        // With its lease it may be lost already, and then says of which.
        if (held.position.type === "lost") continue;
        held.position = held.confirmed ? { type: "lost" } : { type: "unwritten" };
      }
      throw new EtcdError("unavailable", `lost ${LEASES_PER_WRITE_MAX} leases under one write`);
    },

    note(held) {
      if (held.confirmed) journal.append(recordOf(held));
    },

    async remove(held) {
      const { position } = held;
      if (position.type === "written" || position.type === "uncertain") {
        const { lease } = position;
        try {
          if (position.type === "uncertain") await fenceOff(position);
          const expected = position.type === "written" ? position.modRevision : undefined;
          await writes.remove({ key: held.key, lease, expected });
        } catch (error) {
          if (isOutcomeUnknown(error)) settle(held, lease, undefined);
          throw error;
        }
      }
      forget(held);
    },

    forget,

    lose(lease) {
      const lost: string[] = [];
      for (const key of lease.members) {
        const held = instances.get(key);
        if (!held || !("lease" in held.position) || held.position.lease !== lease) continue;
        if (held.confirmed) {
          const writtenAt = held.position.type === "written" ? held.position.modRevision : undefined;
          held.position = { type: "lost", was: { lost: lease, writtenAt } };
          lost.push(key);
        } else {
          forget(held);
        }
      }
      recover(lease.namespace, lost);
    },

    forgetAll(lease) {
      for (const key of lease.members) {
        const held = instances.get(key);
        if (held && "lease" in held.position && held.position.lease === lease) forget(held);
      }
    },

    loseOne: (held) => loseOne(held),
  };
}

/** Etcd refused the others before it did anything. */
function isOutcomeUnknown(error: unknown): boolean {
  return !(error instanceof EtcdError) || error.code === "unavailable";
}
