import { instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration, type Registration } from "../../contract/registration.ts";
import { registration } from "../support/instance.ts";
import type { EtcdModel } from "./etcd-model.ts";
import { NAMESPACE } from "./ledger.ts";
import type { Timeline } from "./timeline.ts";

/** As their sentinels tell. */
export const AGENT_TTL_MS = 5000;
/** How long after etcd was restored an agent finds its leases and keys gone, at most. */
const NOTICE_MS_MAX = 4000;

/** The agents of a world: what they have registered, and that they do it again when they have to. */
export interface Agents {
  register(agent: string, service: string, id: string): void;
  change(service: string, id: string, status: Registration["status"]): void;
  deregister(service: string, id: string): void;
  /** It dies, or is cut off for longer than its lease lasts. */
  expire(agent: string): void;
  /** It is there again, with a new lease, and all that it had, or without a memory of it. */
  return(agent: string, forgets: boolean): void;
  /** etcd was restored from a backup: what it has is not what they have put. */
  restored(): void;
  /** Each is there, and etcd has what it says. */
  heal(): void;
}

interface Agent {
  readonly name: string;
  lease: string | undefined;
  /** By "service/id". */
  readonly instances: Map<string, Registration>;
}

export function createAgents(etcd: EtcdModel, timeline: Timeline): Agents {
  const agents = new Map<string, Agent>();
  let generation = 0;

  function agentOf(name: string): Agent {
    let agent = agents.get(name);
    if (!agent) agents.set(name, (agent = { name, lease: undefined, instances: new Map() }));
    return agent;
  }

  function keyOf(path: string): string {
    const [service = "", instance = ""] = path.split("/");
    return instanceKey({ namespace: NAMESPACE, service, instance });
  }

  const ownerOf = (path: string) => [...agents.values()].find(({ instances }) => instances.has(path));

  /** Its sentinel and all of its instances, in one transaction. */
  function putAll(agent: Agent): void {
    const lease = etcd.grant(Infinity);
    agent.lease = lease;
    etcd.transact(
      [],
      [
        {
          type: "put",
          key: sentinelKey(agent.name, lease),
          value: JSON.stringify({ ttlSeconds: AGENT_TTL_MS / 1000 }),
          lease,
        },
        ...[...agent.instances].map(([path, value]) => {
          return { type: "put" as const, key: keyOf(path), value: encodeRegistration(value), lease };
        }),
      ],
    );
  }

  function put(agent: Agent, path: string, status: Registration["status"]): void {
    const [, id = ""] = path.split("/");
    const metadata = { agent: agent.name, generation: String(++generation) };
    const value = registration(id, { metadata, status, ...(status === "down" ? { cause: "heartbeat" } : {}) });
    agent.instances.set(path, value);
    // A restore may have taken its lease, too.
    if (agent.lease === undefined || etcd.describe(agent.lease) === undefined) {
      putAll(agent);
      return;
    }
    etcd.transact([], [{ type: "put", key: keyOf(path), value: encodeRegistration(value), lease: agent.lease }]);
  }

  /** Makes etcd what the agents that are there say. */
  function reconcile(): void {
    if (!etcd.up) return;
    for (const agent of agents.values()) {
      if (agent.lease === undefined) continue;
      const isWhole = [...agent.instances].every(([path, value]) => {
        const entry = etcd.entry(keyOf(path));
        return entry?.value === encodeRegistration(value) && entry.lease === agent.lease;
      });
      if (etcd.describe(agent.lease) === undefined || !isWhole) {
        const before = agent.lease;
        putAll(agent);
        etcd.endLease(before);
      }
    }
    for (const { key } of etcd.entries(`/fingerpost/${NAMESPACE}/`)) {
      const path = key.slice(`/fingerpost/${NAMESPACE}/`.length);
      if (ownerOf(path) === undefined) etcd.transact([], [{ type: "delete", key }]);
    }
    // Nobody renews the leases that are nobody's.
    for (const { key, lease } of etcd.entries("/fingerpost/_agents/")) {
      if (![...agents.values()].some((agent) => key === sentinelKey(agent.name, agent.lease ?? "")))
        etcd.endLease(lease);
    }
  }

  return {
    register(name, service, id) {
      if (!etcd.up) return;
      const path = `${service}/${id}`;
      const owner = ownerOf(path) ?? agentOf(name);
      if (owner.lease !== undefined || !owner.instances.has(path)) put(owner, path, "up");
    },
    change(service, id, status) {
      const path = `${service}/${id}`;
      const owner = ownerOf(path);
      if (etcd.up && owner?.lease !== undefined) put(owner, path, status);
    },
    deregister(service, id) {
      const path = `${service}/${id}`;
      const owner = ownerOf(path);
      if (!etcd.up || owner?.lease === undefined) return;
      owner.instances.delete(path);
      etcd.transact([], [{ type: "delete", key: keyOf(path) }]);
    },
    expire(name) {
      const agent = agentOf(name);
      if (!etcd.up || agent.lease === undefined) return;
      etcd.endLease(agent.lease);
      agent.lease = undefined;
    },
    return(name, forgets) {
      const agent = agentOf(name);
      if (!etcd.up || agent.lease !== undefined) return;
      if (forgets) agent.instances.clear();
      putAll(agent);
    },
    restored() {
      timeline.at(timeline.nowMs() + NOTICE_MS_MAX, reconcile);
    },
    heal() {
      for (const agent of agents.values()) if (agent.lease === undefined) putAll(agent);
      reconcile();
    },
  };
}
