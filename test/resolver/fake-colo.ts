import type { ColoCache, ColoKind } from "../../src/store/colo.ts";
import type { StoredReading } from "../../src/store/stored-reading.ts";

export interface FakeColo extends ColoCache {
  readonly readings: Map<string, StoredReading>;
  /** Every get so far, as "namespace/kind/name". */
  readonly gets: string[];
  /** Set: gets and puts never settle, as where the network hangs. */
  hanging: boolean;
  /** Set: gets and puts reject. */
  failing: boolean;
}

export const coloKey = (kind: ColoKind, name = "", namespace = "default") => `${namespace}/${kind}/${name}`;

/** A colo cache that fails on demand; the real one is tested with in test/resolver/isolates.test.ts. */
export function createFakeColo(): FakeColo {
  const colo: FakeColo = {
    readings: new Map(),
    gets: [],
    hanging: false,
    failing: false,
    async get(namespace, kind, name) {
      colo.gets.push(coloKey(kind, name, namespace));
      await fault();
      return colo.readings.get(coloKey(kind, name, namespace));
    },
    async put(namespace, kind, name, reading) {
      await fault();
      colo.readings.set(coloKey(kind, name, namespace), reading);
    },
  };

  async function fault(): Promise<void> {
    if (colo.failing) throw new Error("the cache is broken");
    if (colo.hanging) await new Promise(() => undefined);
  }
  return colo;
}
