import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import { withStatus, type Held } from "./held.ts";
import type { Instances } from "./instances.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { LivenessWatch } from "./liveness.ts";
import { encodeRegistration } from "../../contract/registration.ts";

/** Departures written at a time, so that a crowd which falls silent together does not flood etcd. */
const DEPARTURES_MAX = 16;
/** After a failed write. The instance is not served any longer than etcd is away, plus this. */
const RETRY_MS = 2000;

/** The cause of an instance that is down because it fell silent. */
export const HEARTBEAT_CAUSE = "heartbeat";

export interface DeparturesOptions {
  readonly instances: Instances;
  readonly queue: KeyedQueue;
  readonly liveness: LivenessWatch;
  readonly log: Log;
}

/**
 * What becomes of an instance whose deadline has passed: one that was up is put as down and given a grace time, one
 * that was down or draining is deleted. A heartbeat that comes before its turn keeps it.
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
    // It came due by its heartbeats, and has been registered in another way since.
    if (held.confirmed && held.liveness.type !== "heartbeat" && status !== "draining") return;
    if (!held.confirmed || status !== "up") {
      await instances.remove(held);
      if (held.confirmed) log.info({ ...ref, status: held.registration.status }, "instance removed");
      return;
    }
    const down = withStatus(held.registration, "down", HEARTBEAT_CAUSE);
    if (held.position.type === "lost") {
      // The recovery puts it, and is to put it as what it is by then.
      held.registration = down;
      held.value = encodeRegistration(down);
    } else {
      const outcome = await instances.write(held, { registrationAfter: () => down, create: false, takeOver: false });
      if (outcome === "moved" || outcome === "absent") {
        instances.forget(held);
        log.info({ ...ref, outcome }, "instance silent here is no longer ours");
        return;
      }
    }
    if (liveness.has(key)) {
      // A heartbeat came, and was answered, while the write was under way.
      const up = withStatus(held.registration, "up");
      await instances.write(held, { registrationAfter: () => up, create: true, takeOver: false });
      return;
    }
    log.info({ ...ref }, "instance missed its heartbeat");
    liveness.startGrace(held);
  }

  return {
    due(key) {
      waiting.add(key);
      startNext();
    },
    async close() {
      closed = true;
      waiting.clear();
      await Promise.all(running);
    },
  };
}
