import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { decodeRegistration, parseRegistrationRequest, type Registration } from "../../contract/registration.ts";
import { createLog } from "../../node/log.ts";
import { createAgent, type Agent, type AgentOptions } from "../../registrar/agent/agent.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { createMemoryEtcd, type MemoryEtcd } from "./memory-etcd.ts";

export interface AgentOnMemory {
  readonly clock: ManualClock;
  readonly etcd: MemoryEtcd;
  readonly agent: Agent;
  /** What etcd has of an instance. */
  readonly stored: (of: InstanceRef) => Registration | undefined;
  readonly leaseOf: (of: InstanceRef) => string | undefined;
  /** Time passes as for a process that is never stopped. */
  readonly live: (seconds: number) => Promise<void>;
  /** The same, with a heartbeat each second; true as long as all were taken. */
  readonly beat: (of: InstanceRef, seconds: number) => Promise<boolean>;
}

/** An agent on a memory etcd and a manual clock. */
export function agentOnMemory(options: Partial<AgentOptions> = {}): AgentOnMemory {
  const clock = createManualClock();
  const etcd = createMemoryEtcd();
  const agent = createAgent({
    etcd,
    leases: etcd,
    clock,
    random: () => 0.5,
    log: createLog("test", "silent"),
    agent: "a1",
    ...options,
  });
  const live = async (seconds: number) => {
    for (let step = 0; step < seconds * 2; step++) await clock.advance(500);
  };
  return {
    clock,
    etcd,
    agent,
    live,
    stored(of) {
      const entry = etcd.entries.get(instanceKey(of));
      return entry && decodeRegistration(entry.value, of.instance);
    },
    leaseOf: (of) => etcd.entries.get(instanceKey(of))?.lease,
    async beat(of, seconds) {
      for (let second = 0; second < seconds; second++) {
        try {
          await agent.heartbeat(of);
        } catch {
          return false;
        }
        await live(1);
      }
      return true;
    },
  };
}

export function ref(instance: string, service = "web", namespace = "default"): InstanceRef {
  return { namespace, service, instance };
}

export function request(fields: Readonly<Record<string, unknown>> = {}) {
  return parseRegistrationRequest({ address: "10.0.0.1", port: 8080, ttlSeconds: 3, ...fields });
}
