import { Etcd3 } from "etcd3";
import { distributionOf } from "../../support/distribution.ts";
import { serveTask } from "../../support/task-process.ts";
import { serviceName } from "../../support/workload.ts";
import type { Answers } from "./load.ts";

export interface ReadsInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  /** Of the namespace. */
  readonly prefix: string;
  readonly services: number;
  readonly concurrency: number;
  readonly durationMs: number;
}

/** The client is kept between calls, with its token: a function that authenticates each time is far slower. */
let client: Etcd3 | undefined;

/** What a program does that has etcd and nothing else: a range over the service's instances for each lookup. */
async function read(input: ReadsInput): Promise<Answers> {
  const { endpoint, username, password, prefix, services, concurrency, durationMs } = input;
  client ??= new Etcd3({ hosts: endpoint, auth: { username, password } });
  const etcd = client;
  const latenciesMs: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const lane = async () => {
    for (let sentAt = startedAt; sentAt - startedAt < durationMs; sentAt = performance.now()) {
      const service = serviceName(next++, services);
      const values = await etcd.getAll().prefix(`${prefix}${service}/`).strings();
      if (Object.keys(values).length === 0) throw new Error(`etcd has no instance of ${service}`);
      latenciesMs.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  const tookMs = performance.now() - startedAt;
  return { answered: latenciesMs.length, others: {}, tookMs, latencyMs: distributionOf(latenciesMs) };
}

serveTask({ read });
