import { InterceptingCall, type Interceptor } from "@grpc/grpc-js";
import { noop } from "cockatiel";
import { Etcd3 } from "etcd3";
import { inParallel } from "../../support/concurrent.ts";
import { serveTask } from "../../support/task-process.ts";
import { registrationValue } from "../../support/workload.ts";
import type { FleetInput, FleetReport } from "../fleets.ts";

/** Between two renewals of one instance. */
const RENEWAL_MS = 30_000;
/** Of the Authenticate and of the renewal, each. */
const CALL_TIMEOUT_MS = 5000;
const PUTS_AT_A_TIME = 64;

let renewed = 0;
let failed = 0;

/** Each instance with a lease of its own, which a new client, with a password, renews once every RENEWAL_MS. */
async function start({ endpoint, username, password, instances, ttlSeconds, keyPrefix }: FleetInput): Promise<void> {
  const leases: string[] = [];
  const client = new Etcd3({ hosts: endpoint, auth: { username, password } });
  await inParallel(instances, PUTS_AT_A_TIME, async (index) => {
    const { ID } = await client.leaseClient.leaseGrant({ TTL: ttlSeconds });
    const key = Buffer.from(`${keyPrefix}${index}`);
    await client.kv.put({ key, value: Buffer.from(registrationValue(index)), lease: ID });
    leases.push(ID);
  });
  client.close();
  leases.forEach((lease, index) => {
    const renew = () => {
      renewOnce(lease).then(
        () => renewed++,
        () => failed++,
      );
    };
    // Spread evenly, which is the best case: real ones come in crowds.
    setTimeout(
      () => {
        renew();
        setInterval(renew, RENEWAL_MS);
      },
      (index / instances) * RENEWAL_MS,
    );
  });

  async function renewOnce(lease: string): Promise<void> {
    const fresh = new Etcd3({
      hosts: endpoint,
      // One try each: retries of the client's would only add to the crowd.
      faultHandling: { host: () => noop, global: noop },
      // gRPC shares connections between channels with equal options, and a new process shares none.
      grpcOptions: { "grpc.primary_user_agent": `instance-${lease}-${renewed + failed}` },
    });
    try {
      const { token } = await fresh.auth.authenticate({ name: username, password }, deadline());
      const stream = await fresh.leaseClient.leaseKeepAlive({ ...deadline(), interceptors: [withToken(token)] });
      const answer = new Promise<string>((resolve, reject) => {
        stream.on("data", ({ TTL }) => resolve(TTL));
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("no answer")));
      });
      stream.write({ ID: lease });
      const ttl = Number(await answer);
      stream.cancel();
      if (ttl <= 0) throw new Error("the lease has ended");
    } finally {
      fresh.close();
    }
  }
}

function deadline() {
  return { deadline: Date.now() + CALL_TIMEOUT_MS };
}

function withToken(token: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set("token", token);
        next(metadata, listener);
      },
    });
}

async function report(): Promise<FleetReport> {
  return { renewed, failed };
}

serveTask({ start, report });
