import { Etcd3 } from "etcd3";
import { keyOf } from "../../support/instances.ts";
import { sharedMs } from "../../support/monotonic.ts";
import { serveTask } from "../../support/task-process.ts";
import { registrationValue } from "../../support/workload.ts";

export interface SteadyChangesInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  /** Of one instance each. */
  readonly services: number;
  readonly perSecond: number;
  readonly durationMs: number;
}

/** One change that etcd has made, by the machine's monotonic clock. */
export interface NumberedChange {
  readonly service: number;
  readonly change: number;
  readonly sentAtMs: number;
  readonly acknowledgedAtMs: number;
}

/** Numbers rise with time, over all processes that make changes. */
let last = 0;
function numberOfNext(): number {
  last = Math.max(last + 1, Math.floor(sharedMs() * 1000));
  return last;
}

/** Replaces the instance of one service after another, each with the number of the change in it. */
async function run(input: SteadyChangesInput): Promise<readonly NumberedChange[]> {
  const { endpoint, username, password, services, perSecond, durationMs } = input;
  const client = new Etcd3({ hosts: endpoint, auth: { username, password } });
  // Before the first change, so that none of them waits for it.
  await client.get("/fingerpost/default/none").string();
  const changes: Promise<NumberedChange>[] = [];

  async function change(): Promise<NumberedChange> {
    const number = numberOfNext();
    const service = changes.length % services;
    const sentAtMs = sharedMs();
    await client.put(keyOf(service, services)).value(registrationValue(service, number)).exec();
    return { service, change: number, sentAtMs, acknowledgedAtMs: sharedMs() };
  }

  const startedAtMs = sharedMs();
  let dueMs = 0;
  while (dueMs < durationMs) {
    const waitMs = startedAtMs + dueMs - sharedMs();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    changes.push(change());
    // At random, so that changes fall anywhere between two readings.
    dueMs += (2 * Math.random() * 1000) / perSecond;
  }
  const made = await Promise.all(changes);
  client.close();
  return made;
}

serveTask({ run });
