import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { runRegistrar } from "../../registrar/run.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { startTestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

const INSTANCES = 500;
const CONCURRENCY = 32;

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
let registrar: Awaited<ReturnType<typeof runRegistrar>>;
const shutdown = new AbortController();

beforeAll(async () => {
  [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
});
afterAll(async () => {
  shutdown.abort();
  await registrar.close();
  await Promise.all([etcd.close(), redis.close()]);
});

it("500 instances cost etcd one LeaseKeepAlive stream and one Authenticate, by its own metrics", async () => {
  const started = async () => ({
    authentications: await etcd.counter("grpc_server_started_total", { grpc_method: "Authenticate" }),
    streams: await etcd.counter("grpc_server_started_total", { grpc_method: "LeaseKeepAlive" }),
    renewals: await etcd.counter("grpc_server_msg_received_total", { grpc_method: "LeaseKeepAlive" }),
  });
  const before = await started();

  registrar = await runRegistrar(
    {
      etcd: { endpoints: [etcd.endpoint], username: etcd.user.username, password: etcd.user.password },
      redis: { type: "direct", url: redis.url },
      listen: { host: "127.0.0.1", port: 0 },
      role: "both",
      namespace: "default",
      leaseTtlSeconds: 5,
      adopt: false,
      leave: false,
    },
    { log: createLog("test", "silent"), signal: shutdown.signal, clock: systemClock, random: systemRandom },
  );
  await until("the registrar is ready", async () => (await fetch(`${registrar.url}/readyz`)).ok);

  let next = 0;
  const statuses = new Set<number>();
  const worker = async () => {
    while (next < INSTANCES) {
      const index = next++;
      const answer = await fetch(`${registrar.url}/v1/services/fleet-${index % 10}/instances/instance-${index}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ address: "127.0.0.1", port: 10_000 + index, ttlSeconds: 300 }),
      });
      statuses.add(answer.status);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  expect([...statuses]).toEqual([201]);

  // Two rounds of renewals for five leases and the leader's: enough to see that none opens a stream of its own.
  const registered = await started();
  await until("every lease was renewed twice", async () => (await started()).renewals - registered.renewals >= 12);

  const after = await started();
  expect(after.authentications - before.authentications).toBe(1);
  expect(after.streams - before.streams).toBe(1);
});
