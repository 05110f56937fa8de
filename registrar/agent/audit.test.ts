import { expect, it } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import { EtcdError } from "../etcd/port.ts";

const a = ref("a");
const settings = { leaseTtlSeconds: 10 };

it("an instance that somebody else has changed is put back in its place, and gone when it is deregistered", async () => {
  const { etcd, agent, stored, leaseOf, live } = agentOnMemory(settings);
  const { instance } = await agent.register(a, request({ ttlSeconds: 600 }));
  const lease = leaseOf(a);
  etcd.put(instanceKey(a), JSON.stringify({ ...instance, weight: 1 }), lease);
  // There is no other lease to be had: what waits for one would not be in its place.
  etcd.grantLease = () => Promise.reject(new EtcdError("unavailable", "no"));
  await live(11);
  expect(stored(a)).toEqual(instance);
  expect(leaseOf(a)).toBe(lease);
  etcd.put(instanceKey(a), JSON.stringify({ ...instance, weight: 1 }), lease);
  await live(11);
  await agent.deregister(a);
  await live(30);
  expect(stored(a)).toBeUndefined();
});

it("an instance that has moved to another agent and was deregistered there is not put again by its first one", async () => {
  for (const changesBetween of [0, 1, 37]) {
    const { etcd, agent, stored, live } = agentOnMemory(settings);
    const { instance } = await agent.register(a, request({ ttlSeconds: 600 }));
    for (let change = 0; change < changesBetween; change++) etcd.put("/fingerpost/default/other/x", String(change));
    // Between two of its audits the other one writes it under a lease of its own, and deletes it.
    const { lease } = await etcd.grantLease(60);
    etcd.put(instanceKey(a), JSON.stringify({ ...instance, weight: 1 }), lease);
    for (let change = 0; change < changesBetween; change++) etcd.put("/fingerpost/default/other/x", String(change));
    etcd.delete(instanceKey(a));
    await live(30);
    expect(stored(a)).toBeUndefined();
    expect(agent.counts().instances).toBe(0);
    await expect(agent.heartbeat(a)).rejects.toMatchObject({ code: "not_found" });
  }
});

it("so it stays of one that was written long before what etcd still has of its history", async () => {
  const { etcd, agent, stored, live } = agentOnMemory(settings);
  const { instance } = await agent.register(a, request({ ttlSeconds: 600 }));
  const changes = (count: number) => {
    for (let change = 0; change < count; change++) etcd.put("/fingerpost/default/other/x", String(change));
  };
  changes(300);
  etcd.compact(etcd.revision() - 20);
  const { lease } = await etcd.grantLease(60);
  etcd.put(instanceKey(a), JSON.stringify({ ...instance, weight: 1 }), lease);
  changes(5);
  etcd.delete(instanceKey(a));
  changes(5);
  await live(30);
  expect(stored(a)).toBeUndefined();
  expect(agent.counts().instances).toBe(0);
});

it("an instance whose last change etcd has no history of is put again", async () => {
  const { etcd, agent, stored, live } = agentOnMemory(settings);
  const { instance } = await agent.register(a, request({ ttlSeconds: 600 }));
  etcd.delete(instanceKey(a));
  etcd.compact(etcd.revision());
  await live(30);
  expect(stored(a)).toEqual(instance);
});

it("where many keys are missing they are put again without a look at what each one was", async () => {
  const { etcd, agent, stored, live } = agentOnMemory(settings);
  const many = Array.from({ length: 40 }, (_, index) => ref(`i-${index}`));
  for (const one of many) await agent.register(one, request({ ttlSeconds: 600 }));
  for (const one of many) etcd.delete(instanceKey(one));
  const transact = etcd.transact.bind(etcd);
  etcd.transact = (...call) =>
    call[1].some((operation) => operation.type === "get" && operation.atRevision)
      ? Promise.reject(new Error("etcd was asked what a key was"))
      : transact(...call);
  await live(11);
  expect(many.filter((one) => !stored(one))).toEqual([]);
});

it("an instance that somebody deletes again and again leaves no lease behind for each time", async () => {
  const { etcd, agent, stored, live } = agentOnMemory(settings);
  await agent.register(a, request({ ttlSeconds: 600 }));
  for (let round = 0; round < 5; round++) {
    etcd.delete(instanceKey(a));
    await live(11);
    expect(stored(a)).toBeDefined();
  }
  await live(70);
  expect(agent.counts()).toMatchObject({ instances: 1, leases: 1 });
});

it("agents that were started together do not look at etcd together", async () => {
  for (const [random, fromSeconds] of [
    [0, 9],
    [0.999, 11],
  ] as const) {
    const { etcd, agent, live } = agentOnMemory({ ...settings, random: () => random });
    await agent.register(a, request({ ttlSeconds: 600 }));
    const before = etcd.transactions();
    await live(fromSeconds - 0.5);
    expect(etcd.transactions()).toBe(before);
    await live(0.5);
    expect(etcd.transactions()).toBe(before + 1);
  }
});
