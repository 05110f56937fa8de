import { noop } from "cockatiel";
import { Etcd3 } from "etcd3";
import { sharedMs } from "../../support/monotonic.ts";
import { serveTask } from "../../support/task-process.ts";
import { keyOf } from "../../support/instances.ts";
import { registrationValue } from "../../support/workload.ts";

/** How often what is due is sent. */
const TICK_MS = 2;
/** Of 20 changes one is an arrival and one a departure; the others replace an instance that is there. */
const CHANGES_PER_ROUND = 20;

export interface ChangesInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  readonly instances: number;
  readonly services: number;
  readonly perSecond: number;
  readonly durationMs: number;
}

/** One change that etcd has made, by the machine's monotonic clock. */
export interface Change {
  readonly revision: number;
  readonly sentAtMs: number;
  readonly acknowledgedAtMs: number;
}

/** Writes to etcd at a fixed rate, whether or not earlier writes are answered, as a fleet would. */
async function run(input: ChangesInput): Promise<readonly Change[]> {
  const { endpoint, username, password, instances, services, perSecond, durationMs } = input;
  const client = new Etcd3({
    hosts: endpoint,
    auth: { username, password },
    faultHandling: { host: () => noop, global: noop },
  });
  const { ID: lease } = await client.leaseClient.leaseGrant({ TTL: 600 });
  const arrivals: number[] = [];
  const changes: Promise<Change>[] = [];

  async function change(): Promise<Change> {
    const number = changes.length;
    const kind = number % CHANGES_PER_ROUND;
    const sentAtMs = sharedMs();
    const { header } = await (kind === 1 ? depart() : kind === 0 ? arrive(instances + number) : replace(number));
    return { revision: Number(header.revision), sentAtMs, acknowledgedAtMs: sharedMs() };
  }

  function arrive(index: number) {
    arrivals.push(index);
    return client.kv.put({ key: key(index), value: Buffer.from(registrationValue(index)), lease });
  }

  /** One that arrived a round ago: there is always one, as arrivals come first. */
  function depart() {
    return client.kv.deleteRange({ key: key(arrivals.shift() ?? instances) });
  }

  function replace(number: number) {
    const index = scatter(number, instances);
    return client.kv.put({ key: key(index), value: Buffer.from(registrationValue(index, number)) });
  }

  function key(index: number): Buffer {
    return Buffer.from(keyOf(index, services));
  }

  const startedAtMs = sharedMs();
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsedMs = sharedMs() - startedAtMs;
      const due = Math.floor((Math.min(elapsedMs, durationMs) / 1000) * perSecond);
      while (changes.length < due) changes.push(change());
      if (elapsedMs < durationMs) return;
      clearInterval(timer);
      resolve();
    }, TICK_MS);
  });
  const made = await Promise.all(changes);
  client.close();
  return made;
}

/** Instances far apart, each about as often as any other: a walk by a prime. */
function scatter(index: number, instances: number): number {
  return (index * 7919) % instances;
}

serveTask({ run });
