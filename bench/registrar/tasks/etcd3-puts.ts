import { Etcd3, type Lease } from "etcd3";
import { serveTask } from "../../support/task-process.ts";
import { instanceName, registrationValue, serviceName } from "../../support/workload.ts";
import type { RegisterOutput } from "./http-registrations.ts";

export interface PutInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  readonly prefix: string;
  readonly concurrency: number;
  readonly services: number;
  readonly durationMs: number;
}

/**
 * Under one lease, as under one of the registrar's. One for all would be slower: with authentication on, etcd checks
 * every key of a lease at each put under it.
 */
const PUTS_PER_LEASE = 127;

/** What anybody would write with etcd3: puts with a lease, so many at a time, each answered before the next. */
async function put(input: PutInput): Promise<RegisterOutput> {
  const { endpoint, username, password, prefix, concurrency, services, durationMs } = input;
  const client = new Etcd3({ hosts: endpoint, auth: { username, password } });
  const leases: Lease[] = [];
  const leaseOf = (index: number) => (leases[Math.floor(index / PUTS_PER_LEASE)] ??= client.lease(60));
  const latenciesMs: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const lane = async () => {
    for (;;) {
      const sentAt = performance.now();
      if (sentAt - startedAt >= durationMs) return;
      const index = next++;
      const key = `${prefix}${serviceName(index, services)}/${instanceName(index)}`;
      await leaseOf(index).put(key).value(registrationValue(index)).exec();
      latenciesMs.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  const tookMs = performance.now() - startedAt;
  for (const lease of leases) await lease.revoke();
  client.close();
  return { acknowledged: latenciesMs.length, failed: 0, tookMs, latenciesMs };
}

serveTask({ put });
