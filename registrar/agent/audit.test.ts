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
