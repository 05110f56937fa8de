import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { AGENTS_PREFIX } from "../../contract/etcd-keys.ts";
import { connect, entriesBelow, startRegistrar } from "../agent/registrar.ts";
import { readThroughout, startEdge } from "../support/edge.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { startTestRedis } from "../support/redis.ts";
import { createRegistrarProcess } from "../support/registrar-process.ts";
import { until } from "../support/until.ts";

/** Two leases. */
const INSTANCES = 150;
const SERVICE = "web";

it("an agent killed, started again, upgraded: no instance leaves the edge, no lease is granted, no heartbeat refused", async () => {
  const [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  onTestFinished(async () => {
    await Promise.all([etcd.close(), redis.close()]);
  });
  const folder = await mkdtemp(join(tmpdir(), "fingerpost-state-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const dir = join(folder, "state");
  const root = connect(etcd, "root");
  onTestFinished(() => root.close());
  const publisher = await startRegistrar(etcd, { role: "publisher", redis: { type: "direct", url: redis.url } });
  onTestFinished(() => publisher.close());
  const create = async () => {
    const agent = await createRegistrarProcess({
      role: "agent",
      etcdEndpoint: etcd.endpoint,
      etcdUser: etcd.user,
      // Far longer than a start takes, on any machine; that it is renewed shows all the same.
      env: { FINGERPOST_STATE_DIR: dir, FINGERPOST_LEASE_TTL_SECONDS: "30" },
    });
    onTestFinished(() => agent.close());
    return agent;
  };
  const leases = async () => (await entriesBelow(root, AGENTS_PREFIX)).map(({ lease }) => lease).toSorted();
  const grants = () => etcd.counter("grpc_server_started_total", { grpc_method: "LeaseGrant" });
  /** When the first of them would end, in seconds of our own. */
  const endOf = async (of: readonly string[]) => {
    const found = await Promise.all(of.map((lease) => root.describeLease(lease)));
    return performance.now() / 1000 + Math.min(...found.map((lease) => lease?.remainingSeconds ?? -Infinity));
  };

  const first = await create();
  await first.start();
  await until("it is ready", () => first.isReady());
  const ids = Array.from({ length: INSTANCES }, (_, index) => `i${index}`);
  const registration = { address: "10.0.0.1", port: 80, ttlSeconds: 600 };
  const answers = await Promise.all(ids.map((id) => first.put(SERVICE, id, registration)));
  expect(new Set(answers)).toEqual(new Set([201]));
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  expect(statSync(join(dir, "journal")).mode & 0o777).toBe(0o600);
  const edge = await startEdge(redis.url);
  onTestFinished(() => edge.close());
  await until("all are at the edge", async () => (await edge.lookup(SERVICE)).instances.size === INSTANCES);
  const reader = readThroughout(edge, [SERVICE]);
  onTestFinished(() => reader.stop());
  const before = { leases: await leases(), grants: await grants() };
  expect(before.leases).toHaveLength(2);

  // Another one on the same directory: the name of its port would be another, and that of the state holds.
  const second = await create();
  const journal = readFileSync(join(dir, "journal"));
  await expect(second.start()).rejects.toThrow(
    `The state directory "${dir}" is in use by another registrar, process ${first.pid}.`,
  );
  expect(readFileSync(join(dir, "journal"))).toEqual(journal);

  const takesUp = async (agent: typeof first) => {
    await agent.start();
    await until("it is ready", () => agent.isReady());
    expect((await agent.status()).agent).toMatchObject({ instances: INSTANCES, leases: 2, takingUp: 0 });
    const beats = await Promise.all(
      ids.map(async (id) => {
        const path = `/v1/services/${SERVICE}/instances/${id}/heartbeat`;
        return (await fetch(agent.url + path, { method: "POST" })).status;
      }),
    );
    expect(new Set(beats)).toEqual(new Set([204]));
  };
  await first.kill("SIGKILL");
  await takesUp(second);
  await second.kill("SIGTERM");
  const end = await endOf(before.leases);
  await takesUp(first);
  await until("its leases are renewed", async () => (await endOf(before.leases)) > end + 1, { timeoutMs: 30_000 });

  await reader.stop();
  const faults = reader.faults(({ instances }) => {
    const up = [...instances.values()].filter((status) => status === "up").length;
    return up === INSTANCES ? undefined : `${up} of ${INSTANCES} are up`;
  });
  expect(faults).toEqual([]);
  expect({ leases: await leases(), grants: await grants() }).toEqual(before);
});
