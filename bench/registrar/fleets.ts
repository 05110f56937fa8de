import { ETCD_PREFIX } from "../../contract/etcd-keys.ts";
import { startRegistrarProcess } from "../support/registrar-process.ts";
import type { BenchEtcd } from "../support/servers.ts";
import type { Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import { cpuSecondsOf } from "../support/usage.ts";
import type { RegisterInput, RegisterOutput } from "./tasks/http-registrations.ts";

export interface FleetInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  readonly instances: number;
  readonly ttlSeconds: number;
  /** Of the instances' keys, up to their number. */
  readonly keyPrefix: string;
}

/** By the clients' own count; undefined where only etcd counts. */
export interface FleetReport {
  readonly renewed: number | undefined;
  readonly failed: number | undefined;
}

/** So many instances that are registered and want to stay so. */
export interface Fleet {
  readonly clientCpuSeconds: () => number;
  readonly report: () => Promise<FleetReport>;
}

export type FleetKind =
  | { readonly type: "keep-alive-once" }
  | { readonly type: "etcd3-leases" }
  | { readonly type: "registrars"; readonly agents: number };

export interface FleetOptions {
  readonly etcd: BenchEtcd;
  readonly instances: number;
  readonly ttlSeconds: number;
}

const SERVICES = 400;
/** Connections over which a fleet is registered, of all registrars together. */
const CONNECTIONS = 64;
/** Registrars that start at the same time. */
const STARTS_AT_A_TIME = 4;

/** Starts a fleet, and resolves once every instance of it is in etcd. */
export async function startFleet(stage: Stage, kind: FleetKind, options: FleetOptions): Promise<Fleet> {
  const { etcd, instances, ttlSeconds } = options;
  if (kind.type === "registrars") return await startRegistrars(stage, kind.agents, options);
  const module = kind.type === "keep-alive-once" ? "./tasks/keep-alive-once.ts" : "./tasks/etcd3-leases.ts";
  const task = startTask<{
    start: (input: FleetInput) => Promise<void>;
    report: (input: undefined) => Promise<FleetReport>;
  }>(stage, import.meta.url, module);
  const keyPrefix = `${ETCD_PREFIX}default/bare/`;
  await task.call("start", { endpoint: etcd.endpoint, ...etcd.user, instances, ttlSeconds, keyPrefix });
  return { clientCpuSeconds: () => cpuSecondsOf(task.pid), report: () => task.call("report", undefined) };
}

/** Agents in processes of their own, as on so many hosts. */
async function startRegistrars(stage: Stage, agents: number, options: FleetOptions): Promise<Fleet> {
  const { etcd, instances, ttlSeconds } = options;
  const processes: { readonly url: string; readonly pid: number }[] = [];
  for (let from = 0; from < agents; from += STARTS_AT_A_TIME) {
    const numbers = Array.from({ length: Math.min(STARTS_AT_A_TIME, agents - from) }, (_, offset) => from + offset);
    const started = numbers.map((number) =>
      startRegistrarProcess(stage, { name: `agent-${number}`, role: "agent", etcd, leaseTtlSeconds: ttlSeconds }),
    );
    processes.push(...(await Promise.all(started)));
  }
  const load = startTask<{ register: (input: RegisterInput) => Promise<RegisterOutput> }>(
    stage,
    import.meta.url,
    "./tasks/http-registrations.ts",
  );
  const { acknowledged } = await load.call("register", {
    urls: processes.map(({ url }) => url),
    connectionsPerUrl: Math.max(1, Math.floor(CONNECTIONS / agents)),
    services: SERVICES,
    from: 0,
    count: instances,
    durationMs: Infinity,
  });
  await load.close();
  if (acknowledged !== instances) throw new Error(`${acknowledged} of ${instances} instances were registered`);
  return {
    clientCpuSeconds: () => processes.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0),
    report: async () => ({ renewed: undefined, failed: undefined }),
  };
}
