import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { decodeHead, type Head } from "../../contract/head.ts";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration } from "../../contract/registration.ts";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { decodeSnapshot } from "../../contract/snapshot.ts";
import { connect } from "../registrar-etcd/fixture.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { registration } from "../support/instance.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { createRegistrarProcess, type RegistrarProcess } from "../support/registrar-process.ts";
import { until } from "../support/until.ts";

// Many registrars, each a process of its own, on one etcd and one Redis.

/** The leader's session in etcd. */
const SESSION_TTL_MS = 5000;
/** As promised: a killed leader is replaced within its session's TTL and this. */
const REPLACED_WITHIN_MS = 2000;
const CATALOG_INSTANCES = 4000;

/** By this address Redis' MONITOR tells the first publisher's commands from the second's. */
const FIRST_ADDRESS = "127.0.0.2";

// The tests go on from each other, on one set of processes: a start costs a second each.
let etcd: TestEtcd;
let redis: TestRedis;
/** Between the first publisher and Redis. */
let proxy: Proxy;
let agents: readonly RegistrarProcess[];
let first: RegistrarProcess;
let second: RegistrarProcess;

beforeAll(async () => {
  [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  proxy = await startProxy(redis.port, { localAddress: FIRST_ADDRESS });
  const common = { etcdEndpoint: etcd.endpoint, etcdUser: etcd.user };
  agents = [
    await createRegistrarProcess({ role: "agent", ...common }),
    await createRegistrarProcess({ role: "agent", ...common }),
  ];
  const redisUrl = redis.url.replace(/:\d+$/, `:${proxy.port}`);
  first = await createRegistrarProcess({ role: "publisher", ...common, redisUrl });
  second = await createRegistrarProcess({ role: "publisher", ...common, redisUrl: redis.url });
  await seed();
}, 90_000);
afterAll(async () => {
  await Promise.all([...agents, first, second].map((process) => process.close()));
  await proxy.close();
  await Promise.all([etcd.close(), redis.close()]);
});

/** So many registrations that a list of them would show in what etcd sends. */
async function seed(): Promise<void> {
  const client = connect(etcd.endpoint, etcd.root);
  const ids = Array.from({ length: CATALOG_INSTANCES }, (_, index) => `${index}`);
  for (let from = 0; from < ids.length; from += 100) {
    await client.transact(
      [],
      ids.slice(from, from + 100).map((id) => ({
        type: "put",
        key: instanceKey({ namespace: "default", service: `large-${Number(id) % 20}`, instance: id }),
        value: encodeRegistration(registration(id)),
      })),
    );
  }
  await client.close();
}

async function start(...starting: readonly RegistrarProcess[]): Promise<void> {
  for (const process of starting) {
    await process.start();
    await until("the registrar is ready", () => process.isReady());
  }
}

async function head(): Promise<Head> {
  return decodeHead(await redis.cli("GET", headKey("default")), "default");
}

async function published(service: string): Promise<readonly string[]> {
  const text = await redis.cli("GET", serviceKey("default", service));
  return text === "" ? [] : decodeSnapshot(text, "default", service).instances.map(({ id }) => id);
}

const leads = async (process: RegistrarProcess) => (await process.status()).publisher?.role === "leader";

const instance = { address: "127.0.0.1", port: 9000, ttlSeconds: 300 };

/** What etcd counts; gauges and counters alike. */
async function etcdCounts() {
  const calls = (method: string) => etcd.counter("grpc_server_started_total", { grpc_method: method });
  return {
    watches: await calls("Watch"),
    ranges: await calls("Range"),
    grants: await etcd.counter("etcd_debugging_lease_granted_total"),
    watchers: await etcd.counter("etcd_debugging_mvcc_watcher_total"),
    sentBytes: await etcd.counter("etcd_network_client_grpc_sent_bytes_total"),
  };
}

it("an agent holds no watch and reads no catalog; a publisher holds no lease but the leader's", async () => {
  const before = await etcdCounts();
  await start(...agents);
  for (const [index, agent] of agents.entries()) {
    for (let id = 0; id < 20; id++) expect(await agent.put("roles", `${index}-${id}`, instance)).toBe(201);
  }
  const withAgents = await etcdCounts();
  expect(withAgents.watches - before.watches).toBe(0);
  expect(withAgents.watchers - before.watchers).toBe(0);
  // Each reads once whether etcd answers it.
  expect(withAgents.ranges - before.ranges).toBeLessThanOrEqual(2 * agents.length);
  expect(withAgents.grants - before.grants).toBe(agents.length);

  await start(first, second);
  const withAll = await etcdCounts();
  expect(withAll.watchers - withAgents.watchers).toBe(2);
  expect(withAll.grants - withAgents.grants).toBe(1);
  expect((await published("roles")).length).toBe(40);
  expect(await first.put("roles", "x", instance)).toBe(404);
});

it("a leader that is killed is replaced within its session's TTL and 2 s, by a standby that reads no catalog", async () => {
  expect(await leads(first)).toBe(true);
  const { epoch } = await head();
  const before = await etcdCounts();
  const killedAtMs = performance.now();
  await first.kill();
  expect(await agents[0]?.put("killed", "a", instance)).toBe(201);
  await until("another has claimed Redis", async () => (await head()).epoch > epoch);
  expect(performance.now() - killedAtMs).toBeLessThan(SESSION_TTL_MS + REPLACED_WITHIN_MS);
  expect(await leads(second)).toBe(true);
  await until("what happened meanwhile is published", async () => (await published("killed")).join() === "a");

  const after = await etcdCounts();
  const listBytes = CATALOG_INSTANCES * encodeRegistration(registration("0")).length;
  expect(after.sentBytes - before.sentBytes).toBeLessThan(listBytes / 10);
  expect(after.watches).toBe(before.watches);
  expect(await second.counter("fingerpost_watch_restarts_total")).toBe(0);
});

it("a leader that is stopped is replaced at once", async () => {
  await start(first);
  expect(await leads(second)).toBe(true);
  const { epoch } = await head();
  await second.kill("SIGTERM");
  const goneAtMs = performance.now();
  await until("another has claimed Redis", async () => (await head()).epoch > epoch);
  // Far below the session's TTL, which is what it would otherwise take.
  expect(performance.now() - goneAtMs).toBeLessThan(SESSION_TTL_MS / 2);
  expect(await leads(first)).toBe(true);
});

it("a leader paused past its term and woken writes not one byte to Redis, and does not fence the new one", async () => {
  await start(second);
  expect(await leads(first)).toBe(true);
  const { epoch } = await head();
  // A commit is on its way when the leader is paused: what a network holds back arrives when nobody expects it.
  proxy.blackhole(true);
  expect(await agents[0]?.put("paused", "a", instance)).toBe(201);
  await until("the leader has waited for the answer to a commit", async () => {
    return (await first.status()).publisher?.namespaces[0]?.lastError;
  });
  first.pause();
  const { epoch: epochNew } = await until("the other has claimed Redis", async () => {
    const now = await head();
    return now.epoch > epoch && now;
  });
  await until("the other has published", async () => (await published("paused")).join() === "a");

  const monitor = await redis.monitor();
  onTestFinished(() => monitor.stop());
  proxy.blackhole(false);
  await until("the commit has arrived", () => scripts(monitor.lines(), FIRST_ADDRESS).length > 0);
  first.resume();
  await until("it knows that it leads no more", async () => !(await leads(first)));
  const woken = await head();
  expect(await agents[0]?.put("paused", "b", instance)).toBe(201);
  await until("the other goes on", async () => {
    return (await head()).heartbeatAt > woken.heartbeatAt && (await published("paused")).join() === "a,b";
  });
  expect((await head()).epoch).toBe(epochNew);
  expect(await leads(second)).toBe(true);
  const isWrite = (command: string) => /^"(?:set|del|unlink|p?expire)"/i.test(command);
  expect(scripts(monitor.lines(), FIRST_ADDRESS).flat().filter(isWrite)).toEqual([]);
  // That shows something only if writes are seen this way: the other's are.
  expect(scripts(monitor.lines(), "127.0.0.1").flat().some(isWrite)).toBe(true);
});

/** What the scripts that came from an address ran, an array for each call of one; and other writes of it. */
function scripts(lines: readonly string[], address: string): string[][] {
  const calls: string[][] = [];
  let current: string[] | undefined;
  for (const line of lines) {
    const match = /^\S+ \[\d+ ([^\]]+)\] (.*)$/.exec(line);
    const [, from = "", command = ""] = match ?? [];
    if (from === "lua") {
      current?.push(command);
    } else {
      current = from.startsWith(`${address}:`) ? [command] : undefined;
      if (current && !/^"(?:hello|auth|client|time|select)"/i.test(command)) calls.push(current);
    }
  }
  return calls;
}
