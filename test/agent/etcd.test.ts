import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { AGENTS_PREFIX, instanceKey, sentinelKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { createAgent, type Agent, type AgentOptions } from "../../registrar/agent/agent.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Etcd, WatchEvent } from "../../registrar/etcd/port.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { ref, request } from "./agent-on-memory.ts";
import { connect, entriesBelow } from "./registrar.ts";

let server: TestEtcd;
let root: Etcd;

beforeAll(async () => {
  server = await startTestEtcd();
  root = connect(server, "root");
});
afterAll(async () => {
  await root.close();
  await server.close();
});

interface TestAgent {
  readonly agent: Agent;
  close(options: { readonly leave: boolean }): Promise<void>;
}

/** An agent with a connection and a stream of its own, as in a process of its own; closed with the test. */
function startAgent(name: string, options: Partial<AgentOptions> = {}): TestAgent {
  const etcd = connect(server, "user");
  const dependencies = { etcd, clock: systemClock, random: systemRandom, log: createLog("test", "silent") };
  const leases = createLeaseKeeper(dependencies);
  const agent = createAgent({ ...dependencies, leases, agent: name, ...options });
  let closed: Promise<void> | undefined;
  const close = async (how: { readonly leave: boolean }) => {
    await agent.close(how);
    await leases.close();
    await etcd.close();
  };
  const test = { agent, close: (how: { readonly leave: boolean }) => (closed ??= close(how)) };
  onTestFinished(() => test.close({ leave: true }));
  return test;
}

const entryOf = async (of: InstanceRef) => (await root.get(instanceKey(of))).entry;
const statusOf = async (of: InstanceRef) => {
  const entry = await entryOf(of);
  return entry && (JSON.parse(entry.value) as { status: string; cause?: string });
};
const lasting = request({ ttlSeconds: 600 });

/** Every change below the prefix from now on. */
async function watchFromNow(prefix: string): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  const { revision } = await root.get(prefix);
  await new Promise<void>((resolve, reject) => {
    const stop = root.watch(prefix, revision + 1, {
      onCreated: resolve,
      onEvents: (events) => seen.push(...events),
      onEnd: () => reject(new Error("the watch ended")),
    });
    onTestFinished(stop);
  });
  return seen;
}

it("a crowd of registrations shares revisions, and each is answered for itself", async () => {
  const { agent: other } = startAgent("crowd-other");
  await other.register(ref("i7", "crowd"), lasting);
  const { agent } = startAgent("crowd");
  const events = await watchFromNow(instanceKey(ref("", "crowd")));
  const refs = Array.from({ length: 300 }, (_, index) => ref(`i${index}`, "crowd"));
  const registered = await Promise.all(refs.map((each) => agent.register(each, lasting)));
  expect(registered.map(({ created }) => created)).toEqual(refs.map((_, index) => index !== 7));
  await until("all are seen", () => events.length >= refs.length);
  expect(new Set(events.map(({ entry }) => entry.modRevision)).size).toBeLessThan(150);
  await Promise.all(refs.map((each) => agent.deregister(each)));
  expect(await entriesBelow(root, instanceKey(ref("", "crowd")))).toEqual([]);
});

describe("a lease", () => {
  it("takes 127 instances and its sentinel; the 128th opens a second, another namespace a third", async () => {
    const { agent } = startAgent("full");
    const refs = Array.from({ length: 128 }, (_, index) => ref(`i${index}`, "full"));
    await Promise.all(refs.slice(0, 127).map((each) => agent.register(each, lasting)));
    expect(await entriesBelow(root, `${AGENTS_PREFIX}full/`)).toHaveLength(1);
    await agent.register(ref("i127", "full"), lasting);
    await agent.register(ref("x", "full", "other"), lasting);
    const sentinels = await entriesBelow(root, `${AGENTS_PREFIX}full/`);
    expect(sentinels).toHaveLength(3);
    for (const { key, lease, value } of sentinels) {
      expect(key).toBe(sentinelKey("full", lease));
      expect(JSON.parse(value)).toEqual({
        agent: "full",
        incarnation: expect.any(String),
        namespace: expect.stringMatching(/^(default|other)$/),
        startedAt: expect.any(String),
        ttlSeconds: 30,
      });
    }
    const byLease = Map.groupBy(await entriesBelow(root, "/fingerpost/default/full/"), ({ lease }) => lease);
    expect(new Set([...byLease.values()].map(({ length }) => length))).toEqual(new Set([127, 1]));
    const other = await entryOf(ref("x", "full", "other"));
    expect(byLease.has(other?.lease ?? "")).toBe(false);
  });

  it("revoked by hand has all of its instances put again under a new one, at one revision", async () => {
    const { agent } = startAgent("revoked", { leaseTtlSeconds: 2 });
    const refs = Array.from({ length: 50 }, (_, index) => ref(`i${index}`, "revoked"));
    await Promise.all(refs.map((each) => agent.register(each, lasting)));
    const prefix = "/fingerpost/default/revoked/";
    const before = await entriesBelow(root, prefix);
    const lease = before[0]?.lease ?? "";
    await root.revokeLease(lease);
    expect(await entriesBelow(root, prefix)).toHaveLength(0);
    const after = await until("all are there again", async () => {
      const entries = await entriesBelow(root, prefix);
      return entries.length === refs.length && entries;
    });
    const registrations = (entries: typeof after) => entries.map(({ key, value }) => [key, value]);
    expect(registrations(after)).toEqual(registrations(before));
    expect(new Set(after.map((entry) => entry.modRevision)).size).toBe(1);
    expect(after[0]?.lease).not.toBe(lease);
    const [sentinel, ...more] = await entriesBelow(root, `${AGENTS_PREFIX}revoked/`);
    expect(sentinel?.lease).toBe(after[0]?.lease);
    expect(more).toHaveLength(0);
    await agent.heartbeat(ref("i0", "revoked"));
  });
});

describe("an instance that falls silent", () => {
  it("is put as down with its cause and then deleted, while its lease lives on", async () => {
    const { agent } = startAgent("silent", { downSeconds: 1 });
    const silent = ref("silent", "silence");
    const other = ref("other", "silence");
    await agent.register(silent, request({ ttlSeconds: 1 }));
    await agent.register(other, lasting);
    const down = await until("it is down", async () => {
      const status = await statusOf(silent);
      return status?.status === "down" && status;
    });
    expect(down.cause).toBe("heartbeat");
    await until("it is gone", async () => (await entryOf(silent)) === undefined);
    expect((await statusOf(other))?.status).toBe("up");
    await expect(agent.heartbeat(silent)).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("two agents", () => {
  it("never remove or change what has moved to the other", async () => {
    const { agent: first } = startAgent("first", { downSeconds: 1, drainSeconds: 1 });
    const { agent: second } = startAgent("second");
    const names = ["deleted", "drained", "silent", "left"];
    const moved = names.map((name) => ref(name, "moving"));
    await Promise.all(moved.map((each) => first.register(each, request({ ttlSeconds: 1 }))));
    for (const each of moved) {
      expect(await second.register(each, request({ port: 9, ttlSeconds: 600 }))).toMatchObject({ created: false });
    }
    const before = await entriesBelow(root, "/fingerpost/default/moving/");
    const [deleted, drained] = moved;
    if (!deleted || !drained) throw new Error("nothing moved");
    await first.deregister(deleted);
    await expect(first.drain(drained)).rejects.toMatchObject({ code: "not_found" });
    await until("the first has let go of them all", () => first.counts().instances === 0);
    expect(await entriesBelow(root, "/fingerpost/default/moving/")).toEqual(before);
  });

  it("leave away what moved from one to the other and left there, though the first loses its lease", async () => {
    const { agent: first } = startAgent("loses", { leaseTtlSeconds: 3 });
    const { agent: second } = startAgent("gains");
    const [stays, leaves, lives] = [ref("stays", "lost"), ref("leaves", "lost"), ref("lives", "lost")];
    for (const each of [stays, leaves, lives]) await first.register(each, lasting);
    const lease = (await entryOf(stays))?.lease ?? "";
    for (const each of [leaves, lives]) await second.register(each, request({ port: 9, ttlSeconds: 600 }));
    // The history between is what other agents make.
    for (let beat = 0; beat < 200; beat++) await second.register(lives, request({ port: 10 + beat, ttlSeconds: 600 }));
    await second.deregister(leaves);
    await root.revokeLease(lease);
    // Lost together, they are put again together, if at all.
    await until("what was lost is back", () => entryOf(stays));
    expect(await entryOf(leaves)).toBeUndefined();
    expect(JSON.parse((await entryOf(lives))?.value ?? "")).toMatchObject({ port: 209 });
    await expect(first.heartbeat(leaves)).rejects.toMatchObject({ code: "not_found" });
    await first.heartbeat(stays);
  });

  it("that register one instance at once leave it with one of them, whole", async () => {
    const agents = ["left", "right"].map((name) => startAgent(name).agent);
    const both = ref("both", "race");
    await Promise.all(
      agents.flatMap((agent, side) =>
        Array.from({ length: 20 }, (_, index) => agent.register(both, request({ port: 100 * side + index + 1 }))),
      ),
    );
    const entry = await entryOf(both);
    const owners = agents.map((agent) => agent.list({ namespace: "default", service: "race", limit: 1 }).instances[0]);
    const stored = JSON.parse(entry?.value ?? "") as unknown;
    expect(owners.map((view) => view?.instance)).toContainEqual(stored);
  });
});

describe("an agent that ends", () => {
  it("is followed by its next start within the TTL without one instance going away", async () => {
    const before = startAgent("again", { leaseTtlSeconds: 2 });
    const refs = Array.from({ length: 10 }, (_, index) => ref(`i${index}`, "again"));
    await Promise.all(refs.map((each) => before.agent.register(each, lasting)));
    const events = await watchFromNow("/fingerpost/default/again/");
    const [sentinel] = await entriesBelow(root, `${AGENTS_PREFIX}again/`);
    await before.close({ leave: false });

    const { agent } = startAgent("again", { leaseTtlSeconds: 2 });
    for (const each of refs) {
      await expect(agent.heartbeat(each)).rejects.toMatchObject({ code: "not_found" });
      expect(await agent.register(each, lasting)).toMatchObject({ created: false });
    }
    await until("the old lease has ended", async () => (await root.get(sentinel?.key ?? "")).entry === undefined);
    expect(await entriesBelow(root, "/fingerpost/default/again/")).toHaveLength(10);
    expect(events.filter(({ type }) => type === "delete")).toEqual([]);
  });

  it("leaving takes its instances along, each before its sentinel", async () => {
    const leaving = startAgent("leaving");
    const refs = Array.from({ length: 10 }, (_, index) => ref(`i${index}`, "leaving"));
    await Promise.all(refs.map((each) => leaving.agent.register(each, lasting)));
    const events = await watchFromNow("/fingerpost/");
    await leaving.close({ leave: true });
    const deletes = await until("the sentinel is gone", () => {
      const gone = events.filter(({ type }) => type === "delete");
      return gone.some(({ entry }) => entry.key.startsWith(`${AGENTS_PREFIX}leaving/`)) && gone;
    });
    const [last] = deletes.toReversed();
    expect(deletes).toHaveLength(11);
    expect(last?.entry.key).toContain(AGENTS_PREFIX);
    expect(deletes.slice(0, 10).every(({ entry }) => entry.modRevision < (last?.entry.modRevision ?? 0))).toBe(true);
  });
});

describe("etcd killed with -9", () => {
  it("costs no instance and no lease; writes are refused in time and work again once it is back", async () => {
    const { agent } = startAgent("killed");
    const refs = Array.from({ length: 20 }, (_, index) => ref(`i${index}`, "killed"));
    await Promise.all(refs.map((each) => agent.register(each, lasting)));
    const before = await entriesBelow(root, "/fingerpost/default/killed/");
    await server.kill();
    const startedMs = performance.now();
    const late = ref("late", "killed");
    await expect(agent.register(late, lasting)).rejects.toMatchObject({ code: "unavailable", retryAfterSeconds: 2 });
    expect(performance.now() - startedMs).toBeLessThan(9000);
    await agent.heartbeat(ref("i0", "killed"));
    await server.start();
    await until("a write works again", () => agent.register(late, lasting));
    const after = await entriesBelow(root, "/fingerpost/default/killed/");
    expect(after.filter(({ key }) => key !== instanceKey(late))).toEqual(before);
    expect(agent.counts()).toMatchObject({ instances: 21, recovering: 0 });
  });
});
