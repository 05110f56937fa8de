import { describe, expect, it } from "vitest";
import { instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import { sleep } from "../../kernel/clock.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import { EtcdError } from "../etcd/port.ts";
import { emptyState, withoutState, type StateRecord } from "./state/records.ts";

const a = ref("a");
const away = () => "refused" as const;
const well = () => "none" as const;

describe("a lease", () => {
  it("carries 127 instances and its sentinel, and never two namespaces", async () => {
    const { etcd, agent, leaseOf } = agentOnMemory();
    const refs = Array.from({ length: 128 }, (_, index) => ref(`i${index}`));
    await Promise.all(refs.slice(0, 127).map((each) => agent.register(each, request())));
    expect(agent.counts().leases).toBe(1);
    await agent.register(ref("i127"), request());
    await agent.register(ref("x", "web", "other"), request());
    const leases = Map.groupBy(refs, (each) => leaseOf(each) ?? "none");
    expect(new Set([...leases.values()].map(({ length }) => length))).toEqual(new Set([1, 127]));
    expect(leases.has(leaseOf(ref("x", "web", "other")) ?? "")).toBe(false);
    expect(agent.counts().leases).toBe(3);
    for (const lease of leases.keys()) {
      const sentinel = etcd.entries.get(sentinelKey("a1", lease));
      expect(sentinel?.lease).toBe(lease);
      expect(JSON.parse(sentinel?.value ?? "")).toMatchObject({ agent: "a1", namespace: "default" });
    }
  });

  it("without instances is used again, and after a minute revoked", async () => {
    const { etcd, agent, leaseOf, live } = agentOnMemory();
    await agent.register(a, request());
    const lease = leaseOf(a);
    await agent.deregister(a);
    await live(50);
    await agent.register(a, request());
    expect(leaseOf(a)).toBe(lease);
    await agent.deregister(a);
    await live(55);
    expect(agent.counts().leases).toBe(1);
    await live(10);
    expect(agent.counts().leases).toBe(0);
    expect(etcd.entries.size).toBe(0);
  });

  it("whose term is over for all we know takes nobody in, and keeps those that it has", async () => {
    const { etcd, agent, leaseOf, stored, live } = agentOnMemory();
    await agent.register(a, request({ ttlSeconds: 600 }));
    const lease = leaseOf(a) ?? "";
    etcd.overdue(lease);
    const [b, c] = [ref("b"), ref("c")];
    await agent.register(b, request({ ttlSeconds: 600 }));
    await agent.register(c, request({ ttlSeconds: 600 }));
    expect([leaseOf(a), leaseOf(b) === lease, leaseOf(c)]).toEqual([lease, false, leaseOf(b)]);
    // What etcd has just confirmed does not go with it.
    const before = stored(b);
    etcd.expire(lease);
    expect(stored(b)).toEqual(before);
    await live(5);
    expect([leaseOf(a), agent.counts().leases]).toEqual([leaseOf(b), 1]);
  });

  it("granted while etcd is strained lives up to twice as long, and no key is put again for it, then or later", async () => {
    let strain = 0;
    const { etcd, agent, leaseOf, live } = agentOnMemory({ leaseTtlSeconds: 30, strain: () => strain });
    const granted: number[] = [];
    const grantLease = etcd.grantLease.bind(etcd);
    etcd.grantLease = (ttlSeconds) => (granted.push(ttlSeconds), grantLease(ttlSeconds));
    const held = [0, 0.5, 1, 0].map((_, index) => ref("i", "web", `namespace-${index}`));
    for (const [index, level] of [0, 0.5, 1, 0].entries()) {
      strain = level;
      expect(agent.counts().leaseTtlSeconds).toBe(30 * (1 + level));
      await agent.register(held[index]!, request({ ttlSeconds: 600 }));
    }
    expect(granted).toEqual([30, 45, 60, 30]);
    const leases = held.map(leaseOf);
    const revision = etcd.revision();
    await live(120);
    expect(held.map(leaseOf)).toEqual(leases);
    expect(etcd.revision()).toBe(revision);
  });

  it("that is lost has its instances put again under a new one, in one transaction", async () => {
    const { etcd, agent, stored, leaseOf, live, beat } = agentOnMemory();
    const refs = Array.from({ length: 127 }, (_, index) => ref(`i${index}`));
    await Promise.all(refs.map((each) => agent.register(each, request({ ttlSeconds: 60 }))));
    const before = refs.map(stored);
    const lost = leaseOf(a) ?? leaseOf(ref("i0")) ?? "";
    etcd.expire(lost);
    expect(stored(ref("i0"))).toBeUndefined();
    const revision = etcd.revision();
    await live(1);
    expect(refs.map(stored)).toEqual(before);
    expect(etcd.revision()).toBe(revision + 1);
    expect(new Set(refs.map(leaseOf)).size).toBe(1);
    expect(leaseOf(ref("i0"))).not.toBe(lost);
    expect(agent.counts()).toMatchObject({ leases: 1, recovering: 0 });
    expect(await beat(ref("i0"), 3)).toBe(true);
  });

  it("that is lost while etcd is away costs no instance, heartbeats are taken, and etcd is not flooded", async () => {
    const { etcd, agent, stored, leaseOf, live, beat } = agentOnMemory();
    await agent.register(a, request());
    let calls = 0;
    etcd.fault = () => (calls++, "refused");
    etcd.expire(leaseOf(a) ?? "");
    expect(await beat(a, 60)).toBe(true);
    expect(agent.counts()).toMatchObject({ instances: 1, recovering: 1 });
    expect(calls).toBeLessThan(60);
    etcd.fault = well;
    await beat(a, 6);
    expect(stored(a)?.status).toBe("up");
    await live(1);
    expect(agent.counts().recovering).toBe(0);
  });

  it("that is lost has nothing put again that its caller registered meanwhile", async () => {
    const { etcd, agent, stored, leaseOf, live } = agentOnMemory();
    await agent.register(a, request({ ttlSeconds: 60 }));
    etcd.fault = away;
    etcd.expire(leaseOf(a) ?? "");
    await live(1);
    etcd.fault = well;
    await agent.register(a, request({ ttlSeconds: 60, weight: 5 }));
    const revision = etcd.revision();
    await live(10);
    expect(stored(a)?.weight).toBe(5);
    expect(etcd.revision()).toBe(revision);
    expect(agent.counts()).toMatchObject({ leases: 1, recovering: 0 });
  });

  it("that is lost leaves what another agent has taken by then, and drops it here", async () => {
    const { etcd, agent, leaseOf, live } = agentOnMemory();
    const b = ref("b");
    await agent.register(a, request({ ttlSeconds: 60 }));
    const { instance } = await agent.register(b, request({ ttlSeconds: 60 }));
    etcd.expire(leaseOf(a) ?? "");
    const theirs = JSON.stringify({ ...instance, weight: 1 });
    etcd.put(instanceKey(b), theirs);
    await live(2);
    expect(leaseOf(a)).toBeDefined();
    expect(etcd.entries.get(instanceKey(b))?.value).toBe(theirs);
    await expect(agent.heartbeat(b)).rejects.toMatchObject({ code: "not_found" });
    expect(agent.counts()).toMatchObject({ instances: 1, recovering: 0 });
  });

  it("whose sentinel another incarnation took is used no more, and what is on it is not touched", async () => {
    const { etcd, agent, leaseOf, stored, live } = agentOnMemory();
    const b = ref("b");
    await agent.register(a, request({ ttlSeconds: 60 }));
    const lease = leaseOf(a) ?? "";
    etcd.put(sentinelKey("a1", lease), JSON.stringify({ incarnation: "later" }), lease);
    await agent.deregister(a);
    expect(leaseOf(a)).toBe(lease);
    await agent.register(b, request());
    expect(leaseOf(b)).not.toBe(lease);
    await live(1);
    expect(stored(b)?.status).toBe("up");
  });

  it("whose sentinel somebody overwrites under no lease, or one of his own, was taken by nobody: what was on it is put again", async () => {
    const { etcd, agent, leaseOf, stored, live } = agentOnMemory();
    const { lease: own } = await etcd.grantLease(3600);
    await agent.register(a, request({ ttlSeconds: 600 }));
    for (const leaseOfOther of [undefined, own]) {
      const lease = leaseOf(a) ?? "";
      etcd.put(sentinelKey("a1", lease), etcd.entries.get(sentinelKey("a1", lease))?.value ?? "", leaseOfOther);
      // The agent's audit finds it.
      await live(60);
      expect(leaseOf(a)).not.toBe(lease);
      expect(stored(a)?.status).toBe("up");
      expect(agent.counts()).toMatchObject({ instances: 1, leases: 1, recovering: 0 });
    }
  });

  it("is in a journal that is written anew while its first write is under way", async () => {
    let live: () => Iterable<StateRecord> = () => [];
    const { journal: none } = withoutState();
    const journal = { ...none, open: (source: typeof live) => ((live = source), Promise.resolve()) };
    const { etcd, agent, leaseOf } = agentOnMemory({ state: { stored: emptyState(), journal } });
    const transact = etcd.transact.bind(etcd);
    const journals: StateRecord[][] = [];
    etcd.transact = (...call) => (journals.push([...live()]), transact(...call));
    await agent.register(a, request());
    journals.push([...live()]);
    const leases = journals.map((records) => records.flatMap((record) => (record.type === "lease" ? record.id : [])));
    // Before its sentinel, before its first instance, and afterwards.
    expect(leases).toEqual([[leaseOf(a)], [leaseOf(a)], [leaseOf(a)]]);
  });

  it("that is granted only after its agent has closed is not renewed", async () => {
    const { clock, etcd, agent } = agentOnMemory();
    const { promise: slow, resolve: answer } = Promise.withResolvers<void>();
    const grantLease = etcd.grantLease.bind(etcd);
    etcd.grantLease = async (ttlSeconds) => (await slow, grantLease(ttlSeconds));
    const renewed: string[] = [];
    etcd.add = (lease) => renewed.push(lease);
    const all = Promise.allSettled([agent.register(a, request()), agent.close({ leave: false })]);
    await clock.advance(10_000);
    await all;
    answer();
    await clock.advance(1000);
    expect(etcd.entries.size).toBeGreaterThan(0);
    expect(renewed).toEqual([]);
    expect(agent.counts().leases).toBe(0);
  });

  it("is revoked at the end of its agent with few others at a time, and left to its TTL where that takes too long", async () => {
    const { journal: none } = withoutState();
    let ended = 0;
    const append = ({ type }: StateRecord) => (ended += type === "lease-ended" ? 1 : 0);
    const state = { stored: emptyState(), journal: { ...none, append } };
    const { clock, etcd, agent } = agentOnMemory({ state });
    for (let index = 0; index < 60; index++) await agent.register(ref("a", "web", `namespace-${index}`), request());
    const revokeLease = etcd.revokeLease.bind(etcd);
    let [revoked, running, runningMax] = [0, 0, 0];
    etcd.revokeLease = async (lease) => {
      revoked += 1;
      runningMax = Math.max(runningMax, ++running);
      await sleep(clock, 1000);
      await revokeLease(lease);
      running -= 1;
    };
    const closing = agent.close({ leave: true });
    for (let second = 0; second < 20; second++) await clock.advance(1000);
    await closing;
    expect(running).toBe(0);
    expect(runningMax).toBe(8);
    expect(revoked).toBe(40);
    // None is for the next start to take up.
    expect(ended).toBe(60);
  });

  it("of an opening that fails is waited for by all and asked for once", async () => {
    const { etcd, agent } = agentOnMemory();
    let grants = 0;
    const grantLease = etcd.grantLease.bind(etcd);
    etcd.grantLease = () => (grants++, Promise.reject(new EtcdError("unavailable", "no")));
    const all = Array.from({ length: 100 }, (_, index) => agent.register(ref(`i${index}`), request()));
    const settled = await Promise.allSettled(all);
    expect(settled.every(({ status }) => status === "rejected")).toBe(true);
    expect(grants).toBe(1);
    expect(agent.counts().instances).toBe(0);
    etcd.grantLease = grantLease;
    await expect(agent.register(a, request())).resolves.toMatchObject({ created: true });
  });
});
