import { parseInstanceKey } from "../../../contract/etcd-keys.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { Departure } from "./departure.ts";

/** An unplanned departure of an instance that has not come back. */
export interface LostInstance {
  readonly departure: Departure;
  /** Monotonic. */
  readonly seenAtMs: number;
}

export interface LostOptions {
  /** As long as the guard holds: what went before that would be held no more. */
  readonly keepMs: number;
  /** Past it the oldest are forgotten. Each keeps a registration, of an instance that the catalog has no more. */
  readonly instancesMax: number;
  readonly clock: Pick<Clock, "monotonic">;
}

/**
 * What a publisher has seen depart unplanned, whole, leader or not: should Redis be emptied while nobody leads, there is
 * no other trace of it.
 */
export interface Lost {
  /** By the instance's key in etcd. */
  add(key: string, departure: Departure): void;
  /** It is there again, or went on purpose. */
  delete(key: string): void;
  clear(): void;
  /** Forgets what is too old. */
  prune(): void;
  of(namespace: string): readonly LostInstance[];
  size(): number;
}

export function createLost({ keepMs, instancesMax, clock }: LostOptions): Lost {
  /** The latest last. */
  const byKey = new Map<string, LostInstance>();

  function prune(): void {
    const nowMs = clock.monotonic();
    for (const [key, { seenAtMs }] of byKey) {
      if (byKey.size <= instancesMax && nowMs - seenAtMs < keepMs) break;
      byKey.delete(key);
    }
  }

  return {
    add(key, departure) {
      byKey.delete(key);
      byKey.set(key, { departure, seenAtMs: clock.monotonic() });
    },
    delete: (key) => void byKey.delete(key),
    clear: () => byKey.clear(),
    prune,
    of(namespace) {
      prune();
      return [...byKey].flatMap(([key, lost]) => (parseInstanceKey(key)?.namespace === namespace ? [lost] : []));
    },
    size: () => byKey.size,
  };
}
