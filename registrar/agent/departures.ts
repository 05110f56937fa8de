import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import { HEARTBEAT_CAUSE } from "./causes.ts";
import { withStatus, type Held } from "./held.ts";
import type { Instances } from "./instances.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { LivenessWatch } from "./liveness.ts";
import { encodeRegistration } from "../../contract/registration.ts";

/** Departures written at a time, so that a crowd which falls silent or fails together does not flood etcd. */
const DEPARTURES_MAX = 16;
/** After a failed write. The instance is not served any longer than etcd is away, plus this. */
const RETRY_MS = 2000;

export interface DeparturesOptions {
  readonly instances: Instances;
  readonly queue: KeyedQueue;
  readonly liveness: LivenessWatch;
  readonly log: Log;
}

/**
 * What becomes of an instance whose deadline has passed: one that was up is put as down and given a grace time, one
 * that was down or draining is deleted. A heartbeat that comes before its turn keeps it. One that is checked is put as
 * what its check has found, up again too.
 */
export interface Departures {
  due(key: string): void;
  /** Takes no more, and waits for those under way. */
  close(): Promise<void>;
}

export function createDepartures(options: DeparturesOptions): Departures {
  const { instances, queue, liveness, log } = options;
  const waiting = new Set<string>();
  const running = new Set<Promise<void>>();
  let closed = false;

  function startNext(): void {
    for (const key of waiting) {
      if (closed || running.size >= DEPARTURES_MAX) return;
      waiting.delete(key);
      const departure = depart(key).finally(() => {
        running.delete(departure);
        startNext();
      });
      running.add(departure);
    }
  }

  async function depart(key: string): Promise<void> {
    try {
      await queue.runAll([key], async () => {
        const held = instances.get(key);
        if (held && !liveness.has(key) && !closed) await settle(held);
      });
    } catch (error) {
      log.debug({ key, error: messageOf(error) }, "departure not written, trying again");
      if (instances.get(key) && !liveness.has(key) && !closed) liveness.retry(key, RETRY_MS);
    }
  }

  async function settle(held: Held): Promise<void> {
    const { ref, key } = held;
    const { status } = held.registration;
    if (held.position.type === "dormant" && held.liveness.type === "heartbeat") {
      instances.forget(held);
      log.info({ ...ref }, "instance of an earlier run gave no sign of life");
      return;
    }
    if (held.confirmed && held.liveness.type !== "heartbeat" && status !== "draining") return await obeyCheck(held);
    if (!held.confirmed || status !== "up") return await remove(held);
    if (!(await put(held, "down", HEARTBEAT_CAUSE))) return;
    if (liveness.has(key)) {
      // A heartbeat came, and was answered, while the write was under way.
      const up = withStatus(held.registration, "up");
      await instances.write(held, { registrationAfter: () => up, create: true, takeOver: false });
      return;
    }
    log.info({ ...ref }, "instance missed its heartbeat");
    liveness.startGrace(held);
  }

  /** What a check has found goes into etcd, whichever way it has turned since it came due. */
  async function obeyCheck(held: Held): Promise<void> {
    const { ref, key, registration } = held;
    // It may have come due by its heartbeats, and be registered in another way since.
    const verdict = liveness.verdictOf(key);
    if (!verdict) return;
    if (verdict.type === "gone") return await remove(held);
    if (verdict.type === registration.status && held.position.type !== "uncertain") return;
    const cause = verdict.type === "down" ? verdict.cause : undefined;
    if (!(await put(held, verdict.type, cause))) return;
    log.info({ ...ref, cause }, `instance is ${verdict.type} by its check`);
  }

  async function remove(held: Held): Promise<void> {
    await instances.remove(held);
    if (held.confirmed) log.info({ ...held.ref, status: held.registration.status }, "instance removed");
  }

  /** Whether the instance is in etcd like this, or will be; one that is not ours any more is forgotten. */
  async function put(held: Held, status: "up" | "down", cause?: string): Promise<boolean> {
    const changed = withStatus(held.registration, status, cause);
    if (held.position.type === "lost") {
      // The recovery puts it, and is to put it as what it is by then.
      held.registration = changed;
      held.value = encodeRegistration(changed);
      instances.note(held);
      return true;
    }
    const create = status === "up";
    const outcome = await instances.write(held, { registrationAfter: () => changed, create, takeOver: false });
    if (outcome === "created" || outcome === "replaced") return true;
    instances.forget(held);
    log.info({ ...held.ref, outcome }, "instance that changed here is no longer ours");
    return false;
  }

  function due(key: string): void {
    waiting.add(key);
    startNext();
  }

  return {
    due,
    async close() {
      closed = true;
      waiting.clear();
      await Promise.all(running);
    },
  };
}
