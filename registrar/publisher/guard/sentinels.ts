import * as v from "valibot";
import { parseSentinelKey } from "../../../contract/etcd-keys.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { KeyValue, WatchEvent } from "../../etcd/port.ts";

/** Whose a lease is. */
export interface LeaseOwner {
  readonly agent: string;
  /** As the agent wrote it into the sentinel; agents of older builds do not. */
  readonly ttlSeconds?: number;
}

interface Sentinel {
  readonly owner: LeaseOwner;
  /** When this process saw it first, by the wall clock. */
  readonly seenAtMs: number;
}

/** The sentinels that etcd has: one for each lease of each agent. */
export interface Sentinels {
  /** Takes a whole list. A sentinel that was known keeps the time at which it was first seen. */
  restore(entries: readonly KeyValue[]): void;
  apply(event: WatchEvent): void;
  ownerOf(lease: string): LeaseOwner | undefined;
  /** When the newest sentinel of an agent was first seen, milliseconds since the epoch; undefined if it has none. */
  newestOf(agent: string): number | undefined;
}

const sentinelSchema = v.object({ ttlSeconds: v.pipe(v.number(), v.minValue(0)) });

export function createSentinels(clock: Pick<Clock, "now">): Sentinels {
  let byLease = new Map<string, Sentinel>();
  let byAgent = new Map<string, Set<string>>();

  function add({ key, value }: KeyValue, known: ReadonlyMap<string, Sentinel>): void {
    const ref = parseSentinelKey(key);
    if (ref === undefined) return;
    const ttlSeconds = ttlIn(value);
    byLease.set(ref.lease, {
      owner: { agent: ref.agent, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) },
      // An agent that fences its late writes puts its sentinel again: that makes it no newer.
      seenAtMs: known.get(ref.lease)?.seenAtMs ?? clock.now(),
    });
    const leases = byAgent.get(ref.agent) ?? new Set();
    byAgent.set(ref.agent, leases.add(ref.lease));
  }

  return {
    restore(entries) {
      const before = byLease;
      byLease = new Map();
      byAgent = new Map();
      for (const entry of entries) add(entry, before);
    },
    apply({ type, entry }) {
      if (type === "put") {
        add(entry, byLease);
        return;
      }
      const ref = parseSentinelKey(entry.key);
      if (ref === undefined) return;
      byLease.delete(ref.lease);
      const leases = byAgent.get(ref.agent);
      leases?.delete(ref.lease);
      if (leases?.size === 0) byAgent.delete(ref.agent);
    },
    ownerOf: (lease) => byLease.get(lease)?.owner,
    newestOf(agent) {
      let newest: number | undefined;
      for (const lease of byAgent.get(agent) ?? []) {
        const seenAtMs = byLease.get(lease)?.seenAtMs ?? 0;
        newest = Math.max(newest ?? seenAtMs, seenAtMs);
      }
      return newest;
    },
  };
}

function ttlIn(value: string): number | undefined {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    // A sentinel is told by its key; what it says beside that is only of help.
    return undefined;
  }
  const parsed = v.safeParse(sentinelSchema, json);
  return parsed.success ? parsed.output.ttlSeconds : undefined;
}
