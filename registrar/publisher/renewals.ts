import { serviceOfKey } from "../../contract/redis-keys.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import { DOCUMENT_LIFE_MS } from "../signing/seal.ts";
import type { Write } from "./commit-script.ts";

/** When in its life a document is signed again: early enough to fail for hours, and not all that were filled at once. */
const DUE_AT_LEAST = 0.5;
const DUE_SPREAD = 0.25;
/** Services at a time, which is at a heartbeat: the ring has a place for each of them, and for changes besides. */
export const RENEWED_AT_ONCE_MAX = 50;

/** What of a namespace has to be signed again, because nothing else has changed it for long. */
export interface Renewals {
  wrote(writes: readonly Write[]): void;
  /** Services that are to be published anew, as they are. Each is given once, until it was written. */
  takeServices(): readonly string[];
  /** Whether the catalog is to be written anew; true once, until it was written. */
  takeCatalog(): boolean;
}

export interface RenewalsOptions {
  readonly namespace: string;
  /** The one that documents are signed by: set forward, or after a pause of the machine, they end that much sooner. */
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
}

export function createRenewals({ namespace, clock, random }: RenewalsOptions): Renewals {
  /** By service; milliseconds since the epoch, as what expires. */
  const due = new Map<string, number>();
  let catalogDueMs = Infinity;

  return {
    wrote(writes) {
      for (const { key, expiresInMs } of writes) {
        const dueMs = clock.now() + DOCUMENT_LIFE_MS * (DUE_AT_LEAST + DUE_SPREAD * random());
        const service = serviceOfKey(namespace, key);
        if (service === undefined) catalogDueMs = dueMs;
        // A tombstone is gone before its signature has expired.
        else if (expiresInMs === undefined) due.set(service, dueMs);
        else due.delete(service);
      }
    },
    takeServices() {
      const nowMs = clock.now();
      const taken: string[] = [];
      for (const [service, dueMs] of due) {
        if (dueMs > nowMs) continue;
        taken.push(service);
        due.delete(service);
        if (taken.length === RENEWED_AT_ONCE_MAX) break;
      }
      return taken;
    },
    takeCatalog() {
      if (clock.now() < catalogDueMs) return false;
      catalogDueMs = Infinity;
      return true;
    },
  };
}

/** Where nothing is signed nothing expires. */
export const noRenewals: Renewals = {
  wrote: () => undefined,
  takeServices: () => [],
  takeCatalog: () => false,
};
