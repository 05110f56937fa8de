import * as v from "valibot";
import { parseSentinelKey } from "../../../contract/etcd-keys.ts";
import { leaseTtlSchema } from "../../../contract/holds.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { KeyValue, WatchEvent } from "../../etcd/port.ts";
import { LEASE_TTL_SECONDS_ASSUMED } from "./limits.ts";

/** Whose a lease is. */
export interface LeaseOwner {
  readonly agent: string;
  /** As the agent wrote it into the sentinel; agents of older builds do not. */
  readonly ttlSeconds?: number;
}

interface Sentinel {
  readonly owner: LeaseOwner;
  /** When this process saw it come, by the wall clock; 0 where it may have been there for long. */
  readonly seenAtMs: number;
}

/** What the sentinels of one agent tell of it. */
export interface AgentPresence {
  /** When the newest was seen to come, milliseconds since the epoch; 0 where none was. */
  readonly newestMs: number;
  /** The longest of its leases', as far as they tell. */
  readonly ttlSeconds: number;
}

interface Agent {
  readonly leases: Set<string>;
  /** Of these leases, once somebody has asked: of an agent with hundreds of them many held instances ask. */
  presence: AgentPresence | undefined;
}

/** The sentinels that etcd has, one for each lease of each agent, as far as they are on the lease they name. */
export interface Sentinels {
  /**
   * Takes a whole list. A sentinel that was known keeps the time at which it was first seen; another has come since the
   * last list, unless this one follows from none (`isFirst`).
   */
  restore(entries: readonly KeyValue[], isFirst: boolean): void;
  apply(event: WatchEvent): void;
  ownerOf(lease: string): LeaseOwner | undefined;
  /** Undefined if the agent has none. */
  presenceOf(agent: string): AgentPresence | undefined;
}

const sentinelSchema = v.object({ ttlSeconds: leaseTtlSchema });

export function createSentinels(clock: Pick<Clock, "now">): Sentinels {
  let byLease = new Map<string, Sentinel>();
  let byAgent = new Map<string, Agent>();

  function add({ key, value, lease }: KeyValue, known: ReadonlyMap<string, Sentinel>, nowMs: number): void {
    const ref = parseSentinelKey(key);
    if (ref === undefined) return;
    // Every agent may write here. One that does not end with its lease tells nothing of it, whoever put it there.
    if (lease !== ref.lease) {
      drop(ref);
      return;
    }
    // Nor is a lease another agent's because that one says so too.
    if ((byLease.get(ref.lease)?.owner.agent ?? ref.agent) !== ref.agent) return;
    const ttlSeconds = ttlIn(value);
    byLease.set(ref.lease, {
      owner: { agent: ref.agent, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) },
      // An agent that fences its late writes puts its sentinel again: that makes it no newer.
      seenAtMs: known.get(ref.lease)?.seenAtMs ?? nowMs,
    });
    const leases = byAgent.get(ref.agent)?.leases ?? new Set();
    byAgent.set(ref.agent, { leases: leases.add(ref.lease), presence: undefined });
  }

  function presenceOf(leases: Iterable<string>): AgentPresence {
    let newestMs = 0;
    let ttlSeconds = 0;
    for (const lease of leases) {
      const sentinel = byLease.get(lease);
      if (sentinel === undefined) continue;
      newestMs = Math.max(newestMs, sentinel.seenAtMs);
      ttlSeconds = Math.max(ttlSeconds, sentinel.owner.ttlSeconds ?? LEASE_TTL_SECONDS_ASSUMED);
    }
    return { newestMs, ttlSeconds };
  }

  function drop(ref: { readonly agent: string; readonly lease: string }): void {
    if (byLease.get(ref.lease)?.owner.agent !== ref.agent) return;
    byLease.delete(ref.lease);
    const agent = byAgent.get(ref.agent);
    if (agent === undefined) return;
    agent.leases.delete(ref.lease);
    agent.presence = undefined;
    if (agent.leases.size === 0) byAgent.delete(ref.agent);
  }

  return {
    restore(entries, isFirst) {
      const before = byLease;
      byLease = new Map();
      byAgent = new Map();
      for (const entry of entries) add(entry, before, isFirst ? 0 : clock.now());
    },
    apply({ type, entry }) {
      if (type === "put") {
        add(entry, byLease, clock.now());
        return;
      }
      const ref = parseSentinelKey(entry.key);
      if (ref) drop(ref);
    },
    ownerOf: (lease) => byLease.get(lease)?.owner,
    presenceOf(name) {
      const agent = byAgent.get(name);
      if (agent === undefined) return undefined;
      return (agent.presence ??= presenceOf(agent.leases));
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
