import { Etcd3 } from "etcd3";
import { inParallel } from "../../support/concurrent.ts";
import { serveTask } from "../../support/task-process.ts";
import { registrationValue } from "../../support/workload.ts";
import type { FleetInput, FleetReport } from "../fleets.ts";

/** Instances that share a client, and with it a connection and a token, as those of one process would. */
const INSTANCES_PER_CLIENT = 100;
const PUTS_AT_A_TIME = 64;

let renewed = 0;
let failed = 0;

/** Each instance with a lease of etcd3's, which keeps a stream of its own for it. */
async function start({ endpoint, username, password, instances, ttlSeconds, keyPrefix }: FleetInput): Promise<void> {
  const clients: Etcd3[] = [];
  const clientOf = (index: number) => {
    const number = Math.floor(index / INSTANCES_PER_CLIENT);
    return (clients[number] ??= new Etcd3({
      hosts: endpoint,
      auth: { username, password },
      // gRPC shares connections between channels with equal options, and processes share none.
      grpcOptions: { "grpc.primary_user_agent": `client-${number}` },
    }));
  };
  await inParallel(instances, PUTS_AT_A_TIME, async (index) => {
    const lease = clientOf(index).lease(ttlSeconds);
    lease.on("keepaliveSucceeded", () => renewed++);
    lease.on("keepaliveFailed", () => failed++);
    lease.on("lost", () => failed++);
    await lease.put(`${keyPrefix}${index}`).value(registrationValue(index)).exec();
  });
}

async function report(): Promise<FleetReport> {
  return { renewed, failed };
}

// An etcd that goes away rejects what etcd3 has under way and nobody waits for. What is lost is counted in etcd.
process.on("unhandledRejection", () => failed++);
serveTask({ start, report });
