import { createClient } from "@redis/client";
import { createServer, type Server } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { ETCD_PREFIX, parseInstanceKey } from "../../contract/etcd-keys.ts";
import { serviceKey } from "../../contract/redis-keys.ts";
import { decodeRegistration } from "../../contract/registration.ts";
import { decodeSnapshot, type ServiceSnapshot } from "../../contract/snapshot.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { entriesBelow } from "../agent/registrar.ts";
import { connect } from "../registrar-etcd/fixture.ts";
import { readThroughout, startEdge, type Edge, type EdgeReader } from "../support/edge.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { createRegistrarProcess, type RegistrarProcess } from "../support/registrar-process.ts";
import { until } from "../support/until.ts";

// The incident that this project is there for, replayed: renewals fail for longer than the leases live, every lease
// expires, publishers and etcd are restarted meanwhile, and then everything comes back. The instances were well all
// along, but for a few that really died.

const AGENTS = 3;
const SERVICES = ["web", "api", "cart", "mail"];
const INSTANCES_PER_AGENT = 40;
/** Of each agent, those that die while nobody can tell. */
const MORTALS_PER_AGENT = 3;
const MORTAL_TTL_SECONDS = 5;
/** Of an agent that is never cut off, which takes them away on purpose amid the incident. */
const PLANNED = { service: "planned", instances: 12 };
/** Leases live 5 s; etcd looks for ended ones twice a second. */
const EXPIRED_WITHIN_MS = 15_000;
const RECOVERED_WITHIN_MS = 45_000;

interface Placed {
  readonly agent: RegistrarProcess;
  readonly service: string;
  readonly id: string;
  readonly server: Server;
  readonly mortal: boolean;
}

let etcd: TestEtcd;
let redis: TestRedis;
/** Between the agents of the incident and etcd. */
let line: Proxy;
let reader: ReturnType<typeof createClient>;
let edge: Edge;
let agents: readonly RegistrarProcess[];
let bystander: RegistrarProcess;
let publishers: readonly RegistrarProcess[];
let placed: readonly Placed[];
const heartbeats = new AbortController();
let beating: Promise<void> | undefined;
/** Of its own, for looks at what etcd has. */
let root: Etcd;

beforeAll(async () => {
  [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  line = await startProxy(etcd.port);
  root = connect(etcd.endpoint, etcd.root);
  edge = await startEdge(redis.url);
  reader = createClient({ url: redis.readOnlyUrl });
  await reader.connect();
  const common = { etcdEndpoint: etcd.endpoint, etcdUser: etcd.user, redisUrl: redis.url };
  const cutOff = { ...common, etcdEndpoint: `http://127.0.0.1:${line.port}` };
  publishers = await Promise.all([0, 1].map(() => createRegistrarProcess({ role: "publisher", ...common })));
  bystander = await createRegistrarProcess({ role: "agent", ...common });
  agents = await Promise.all(
    Array.from({ length: AGENTS }, () => createRegistrarProcess({ role: "agent", ...cutOff })),
  );
  await Promise.all([...publishers, ...agents, bystander].map((process) => process.start()));
}, 90_000);
afterAll(async () => {
  heartbeats.abort();
  await beating;
  await root.close();
  await Promise.all([...agents, bystander, ...publishers].map((process) => process.close()));
  for (const { server } of placed ?? []) server.close();
  await edge.close();
  reader.destroy();
  await line.close();
  await Promise.all([etcd.close(), redis.close()]);
});

it("no service is empty and no instance that is well is missing in an incident, and afterwards all is as etcd has it", async () => {
  placed = await placeInstances();
  const healthy = placed.filter(({ mortal }) => !mortal);
  await until("every instance is at the edge", async () => (await served()).size === placed.length);
  await until("the planned ones are", async () => (await idsAtEdge(PLANNED.service)).length === PLANNED.instances);
  beating = beatMortals();
  const atEdge = readThroughout(edge, SERVICES);
  const inRedis = watchRedis(healthy);
  onTestFinished(async () => {
    await Promise.all([inRedis.stop(), atEdge.stop()]);
  });

  // Agents are cut off: nothing is refused, nothing comes back.
  line.blackhole(true);
  await until("every lease has expired", async () => (await registeredInEtcd()).size === 0, {
    timeoutMs: EXPIRED_WITHIN_MS,
  });
  await until("all are held", async () => [...(await served()).values()].every((status) => status === "suspect"));
  expect(await heldByLeader()).toBe(placed.length);

  // Some do die, and nobody who could tell is heard.
  const dead = placed.filter(({ mortal }) => mortal);
  heartbeats.abort();
  for (const { server } of dead) server.close();

  // The leader dies, another takes over what it held back, and it comes back as a standby.
  const leader = await leading();
  await leader.kill();
  const successor = publishers.find((one) => one !== leader) ?? leader;
  await until("another leads", async () => (await successor.status()).publisher?.role === "leader");
  await leader.start();

  // Scaling to zero on purpose is published at once, whatever is held.
  for (let id = 0; id < PLANNED.instances; id++) {
    expect(await bystander.delete(PLANNED.service, `planned-${id}`)).toBe(204);
  }
  await until("the planned service is empty", async () => (await idsAtEdge(PLANNED.service)).length === 0, {
    timeoutMs: 2000,
  });

  await etcd.kill();
  await etcd.start();
  await until("publishers follow etcd again", async () => {
    const statuses = await Promise.all(publishers.map((one) => one.status()));
    return statuses.every(({ ready }) => ready);
  });
  expect((await served()).size).toBe(placed.length);

  const grantsBefore = await etcd.counter("etcd_debugging_lease_granted_total");
  line.blackhole(false);
  await until(
    "everything is as it was, but for the dead",
    async () => {
      const now = await served();
      return now.size === healthy.length && [...now.values()].every((status) => status === "up");
    },
    { timeoutMs: RECOVERED_WITHIN_MS },
  );
  expect([...(await served()).keys()].toSorted()).toEqual(healthy.map(({ id }) => id).toSorted());
  // A lease holds up to 127: what comes back costs etcd a grant and a transaction for each agent, not for each instance.
  expect((await etcd.counter("etcd_debugging_lease_granted_total")) - grantsBefore).toBeLessThanOrEqual(2 * AGENTS);

  await expectRedisEqualsEtcd();
  expect(await heldByLeader()).toBe(0);
  await inRedis.stop();
  await atEdge.stop();
  expect(inRedis.faults).toEqual([]);
  expect(inRedis.count()).toBeGreaterThan(50);
  expect(edgeFaults(atEdge, healthy)).toEqual([]);
  expect(atEdge.answers.length).toBeGreaterThan(100);
}, 150_000);

it("a service whose one agent is killed and stays away stays served, and is as before when the agent is back", async () => {
  const service = "solo";
  const servers = [await listening(), await listening()];
  onTestFinished(() => {
    for (const server of servers) server.close();
  });
  const register = async () => {
    for (const [index, server] of servers.entries()) {
      const body = { address: "127.0.0.1", port: portOf(server), ttlSeconds: 3600 };
      expect([200, 201]).toContain(await bystander.put(service, `solo-${index}`, body));
    }
  };
  await register();
  await until("both are at the edge", async () => (await idsAtEdge(service)).length === servers.length);
  const atEdge = readThroughout(edge, [service]);
  onTestFinished(() => atEdge.stop());
  const statuses = () => new Set(atEdge.latest(service)?.instances.values());

  await bystander.kill();
  await until("its lease has ended", () => [...statuses()].join() === "suspect", { timeoutMs: EXPIRED_WITHIN_MS });
  await bystander.start();
  await until("it takes registrations", () => bystander.isReady());
  await register();
  await until("both are as before", () => [...statuses()].join() === "up");
  await atEdge.stop();
  expect(
    atEdge.faults(({ instances }) => (instances.size === servers.length ? undefined : `${instances.size} instances`)),
  ).toEqual([]);
  expect(await heldByLeader()).toBe(0);
}, 60_000);

async function placeInstances(): Promise<readonly Placed[]> {
  const all: Placed[] = [];
  for (const [agentIndex, agent] of agents.entries()) {
    for (let index = 0; index < INSTANCES_PER_AGENT; index++) {
      const server = await listening();
      const mortal = index < MORTALS_PER_AGENT;
      const service = SERVICES[index % SERVICES.length] ?? "";
      all.push({ agent, service, id: `${service}-${agentIndex}-${index}`, server, mortal });
    }
  }
  const registering = all.map(({ agent, service, id, server, mortal }) => {
    const ttlSeconds = mortal ? MORTAL_TTL_SECONDS : 3600;
    return agent.put(service, id, { address: "127.0.0.1", port: portOf(server), ttlSeconds });
  });
  expect(new Set(await Promise.all(registering))).toEqual(new Set([201]));
  for (let id = 0; id < PLANNED.instances; id++) {
    const registration = { address: "127.0.0.1", port: 9000 + id, ttlSeconds: 3600 };
    expect(await bystander.put(PLANNED.service, `planned-${id}`, registration)).toBe(201);
  }
  return all;
}

async function listening(): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return address.port;
}

/** As a service does it, well below its TTL. */
async function beatMortals(): Promise<void> {
  while (!heartbeats.signal.aborted) {
    await Promise.all(
      placed
        .filter(({ mortal }) => mortal)
        .map(({ agent, service, id }) => {
          return fetch(`${agent.url}/v1/services/${service}/instances/${id}/heartbeat`, { method: "POST" });
        }),
    );
    await pause((MORTAL_TTL_SECONDS * 1000) / 4);
  }
}

async function leading(): Promise<RegistrarProcess> {
  return until("somebody leads", async () => {
    for (const one of publishers) if ((await one.status()).publisher?.role === "leader") return one;
    return undefined;
  });
}

async function heldByLeader(): Promise<number> {
  return (await leading()).counter("fingerpost_guard_held");
}

async function snapshots(): Promise<readonly ServiceSnapshot[]> {
  const keys = SERVICES.map((service) => serviceKey("default", service));
  const texts = await reader.mGet(keys);
  return texts.map((text, index) => decodeSnapshot(text ?? "", "default", SERVICES[index] ?? ""));
}

/** The status of each instance of the incident's services, as Redis has it. */
async function served(): Promise<Map<string, string>> {
  const all = (await snapshots()).flatMap(({ instances }) => instances);
  return new Map(all.map(({ id, status }) => [id, status]));
}

async function idsAtEdge(service: string): Promise<readonly string[]> {
  const { status, instances } = await edge.lookup(service);
  if (status !== 200) throw new Error(`${service} is answered ${status}`);
  return [...instances.keys()];
}

/** What etcd has of the incident's services. */
async function registeredInEtcd() {
  const entries = await entriesBelow(root, ETCD_PREFIX);
  return new Map(
    entries.flatMap(({ key, value }) => {
      const ref = parseInstanceKey(key);
      return ref && SERVICES.includes(ref.service) ? [[ref.instance, decodeRegistration(value, ref.instance)]] : [];
    }),
  );
}

async function expectRedisEqualsEtcd(): Promise<void> {
  const published = (await snapshots()).flatMap(({ instances }) => instances);
  expect(new Map(published.map((one) => [one.id, one]))).toEqual(await registeredInEtcd());
}

/** Looks at Redis itself all the time, since a resolver might hide what was there for a moment. */
function watchRedis(healthy: readonly Placed[]) {
  const stopping = new AbortController();
  const faults: string[] = [];
  let count = 0;
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      const now = await served();
      count++;
      for (const { id } of healthy) {
        const status = now.get(id);
        if (status !== "up" && status !== "suspect") faults.push(`${id} was ${status ?? "missing"} in Redis`);
      }
      await pause(50);
    }
  })();
  return {
    faults,
    count: () => count,
    async stop() {
      stopping.abort();
      await watching;
    },
  };
}

function edgeFaults(edgeReader: EdgeReader, healthy: readonly Placed[]): readonly string[] {
  const expected = Map.groupBy(healthy, ({ service }) => service);
  return edgeReader.faults(({ service, instances }) => {
    const missing = (expected.get(service) ?? []).filter(({ id }) => !instances.has(id));
    return missing.length === 0 ? undefined : `without ${missing.map(({ id }) => id).join(", ")}`;
  });
}
