import { Etcd3 } from "etcd3";
import { ETCD_PREFIX, instanceKey } from "../../contract/etcd-keys.ts";
import { inParallel } from "./concurrent.ts";
import type { BenchEtcd } from "./servers.ts";
import { instanceName, registrationValue, serviceName } from "./workload.ts";

/** etcd's limit of operations in one transaction. */
const OPERATIONS_MAX = 128;
const TRANSACTIONS_AT_A_TIME = 8;
/** Of the leases that the instances put here have, which nobody renews: longer than any run. */
const LEASE_SECONDS = 7200;

/** A client as anybody would make one. It authenticates, so it is made outside of what is counted. */
export async function withRoot<T>(etcd: BenchEtcd, work: (client: Etcd3) => Promise<T>): Promise<T> {
  const client = new Etcd3({ hosts: etcd.endpoint, auth: etcd.root });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** Instances of a namespace that etcd has now. */
export async function countInstances(etcd: BenchEtcd, namespace: string): Promise<number> {
  return await withRoot(etcd, (client) => client.getAll().prefix(`${ETCD_PREFIX}${namespace}/`).count());
}

/** Puts `count` instances into namespace `default`, many in one transaction, past any registrar. */
export async function putInstances(etcd: BenchEtcd, count: number, services: number): Promise<void> {
  await withRoot(etcd, async (client) => {
    await inParallel(Math.ceil(count / OPERATIONS_MAX), TRANSACTIONS_AT_A_TIME, async (batch) => {
      const from = batch * OPERATIONS_MAX;
      // One for each batch: etcd checks every key of a lease at each put under it.
      const { ID: lease } = await client.leaseClient.leaseGrant({ TTL: LEASE_SECONDS });
      const indices = Array.from({ length: Math.min(OPERATIONS_MAX, count - from) }, (_, offset) => from + offset);
      await client.kv.txn({
        success: indices.map((index) => ({
          request_put: {
            key: Buffer.from(keyOf(index, services)),
            value: Buffer.from(registrationValue(index)),
            lease,
          },
        })),
      });
    });
  });
}

export function keyOf(index: number, services: number): string {
  return instanceKey({ namespace: "default", service: serviceName(index, services), instance: instanceName(index) });
}
