import { parseInstanceKey, parseSentinelKey } from "../../contract/etcd-keys.ts";
import { decodeRegistration, type Registration } from "../../contract/registration.ts";
import type { KeyChange } from "./etcd-model.ts";

/** One state of one instance, for as long as etcd had it. `generation` is its metadata's, which no two puts share. */
export interface Spell {
  readonly fromMs: number;
  /** Infinity while it lasts. */
  toMs: number;
  readonly status: Registration["status"];
  readonly generation: string;
}

/** An instance that was lost as its service's last: it is to be served on. */
interface Owed {
  readonly lostAtMs: number;
  readonly agent: string;
  /** From when on it may be let go, as far as is known. */
  excusedAtMs: number;
}

interface ServiceTruth {
  readonly spells: Map<string, Spell[]>;
  readonly owed: Map<string, Owed>;
  /** The last time at which it might have been without instances. */
  mayBeEmptyAtMs: number;
}

/** What was so in etcd, and when: the answers of resolvers are judged by it. */
export interface Truth {
  apply(changes: readonly KeyChange[]): void;
  /** All states of its instances, by id, in order. */
  spells(service: string): ReadonlyMap<string, readonly Spell[]>;
  /** The last time up to now at which the service might have had no instance that is served. */
  mayBeEmptyAtMs(service: string): number;
  /** An instance was in what was published. */
  published(service: string, id: string): void;
  /** Those that are owed now: whoever takes over has to know of them. */
  owed(): readonly { readonly service: string; readonly id: string; readonly lostAtMs: number }[];
  /** Nobody can know of it any more. */
  excuse(service: string, id: string): void;
}

export interface TruthOptions {
  readonly nowMs: () => number;
  readonly holdMs: number;
  readonly agentTtlMs: number;
}

export function createTruth({ nowMs, holdMs, agentTtlMs }: TruthOptions): Truth {
  const services = new Map<string, ServiceTruth>();
  const publishedAtMs = new Map<string, number>();
  /** Agents, with the leases of their sentinels. */
  const sentinels = new Map<string, Set<string>>();

  function truthOf(service: string): ServiceTruth {
    let truth = services.get(service);
    if (!truth) services.set(service, (truth = { spells: new Map(), owed: new Map(), mayBeEmptyAtMs: nowMs() }));
    return truth;
  }

  const isUp = (spells: readonly Spell[]) => spells.at(-1)?.toMs === Infinity && spells.at(-1)?.status === "up";

  /** Moves on to now. Before anything changes, and before anybody asks. */
  function touch(truth: ServiceTruth): void {
    if ([...truth.spells.values()].some(isUp)) return;
    const owedUntilMs = Math.max(-Infinity, ...[...truth.owed.values()].map(({ excusedAtMs }) => excusedAtMs));
    if (owedUntilMs <= nowMs()) truth.mayBeEmptyAtMs = nowMs();
  }

  function applySentinel({ key, after }: KeyChange): boolean {
    const ref = parseSentinelKey(key);
    if (!ref) return false;
    const leases = sentinels.get(ref.agent) ?? new Set();
    sentinels.set(ref.agent, leases);
    if (!after) leases.delete(ref.lease);
    else {
      leases.add(ref.lease);
      for (const truth of services.values()) {
        touch(truth);
        for (const owed of truth.owed.values()) if (owed.agent === ref.agent) excuseAt(owed, nowMs() + agentTtlMs);
      }
    }
    return true;
  }

  function excuseAt(owed: Owed, atMs: number): void {
    owed.excusedAtMs = Math.min(owed.excusedAtMs, atMs);
  }

  function applyInstance({ key, after, before, cause }: KeyChange, lost: Map<string, Map<string, Owed>>): void {
    const ref = parseInstanceKey(key);
    if (!ref) return;
    const { service, instance } = ref;
    const truth = truthOf(service);
    touch(truth);
    const spells = truth.spells.get(instance) ?? [];
    truth.spells.set(instance, spells);
    const last = spells.at(-1);
    if (last?.toMs === Infinity) last.toMs = nowMs();
    const was = before && decodeRegistration(before.value, instance);
    const is = after && decodeRegistration(after.value, instance);
    if (is) {
      spells.push({ fromMs: nowMs(), toMs: Infinity, status: is.status, generation: is.metadata["generation"] ?? "" });
      if (is.status === "up") truth.owed.clear();
      else truth.owed.delete(instance);
      return;
    }
    const wasLost = was?.status === "up" && (cause === "lease" || cause === "restored");
    // What came and went before anybody published it was never heard of.
    if (!wasLost || (publishedAtMs.get(`${service}/${instance}`) ?? -1) < (last?.fromMs ?? 0)) return;
    const agent = was.metadata["agent"] ?? "";
    const own = lost.get(service) ?? new Map<string, Owed>();
    lost.set(service, own.set(instance, { lostAtMs: nowMs(), agent, excusedAtMs: nowMs() + holdMs / 2 }));
  }

  return {
    apply(changes) {
      const lost = new Map<string, Map<string, Owed>>();
      for (const change of changes) if (!applySentinel(change)) applyInstance(change, lost);
      for (const [service, own] of lost) {
        const truth = truthOf(service);
        if ([...truth.spells.values()].some(isUp)) continue;
        for (const [id, owed] of own) {
          truth.owed.set(id, owed);
          // An agent that has another lease is there, and says so by not registering it again.
          if ((sentinels.get(owed.agent)?.size ?? 0) > 0) excuseAt(owed, nowMs() + agentTtlMs);
        }
      }
    },
    spells: (service) => truthOf(service).spells,
    mayBeEmptyAtMs(service) {
      const truth = truthOf(service);
      touch(truth);
      return truth.mayBeEmptyAtMs;
    },
    published: (service, id) => void publishedAtMs.set(`${service}/${id}`, nowMs()),
    owed: () =>
      [...services].flatMap(([service, { owed }]) =>
        [...owed].map(([id, { lostAtMs }]) => ({ service, id, lostAtMs })),
      ),
    excuse(service, id) {
      const truth = truthOf(service);
      touch(truth);
      const owed = truth.owed.get(id);
      if (owed) excuseAt(owed, nowMs());
    },
  };
}
