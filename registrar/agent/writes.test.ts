import { describe, expect, it } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import { EtcdError } from "../etcd/port.ts";

const a = ref("a");
const answerLost = () => "answer-lost" as const;
const well = () => "none" as const;
const unavailable = { code: "unavailable", retryAfterSeconds: 2 };

describe("a write whose answer was lost", () => {
  it("succeeds when it is sent again", async () => {
    const { etcd, agent, stored, beat } = agentOnMemory();
    await agent.register(ref("other"), request());
    etcd.fault = answerLost;
    await expect(agent.register(a, request())).rejects.toMatchObject(unavailable);
    expect(stored(a)).toBeDefined();
    etcd.fault = well;
    await agent.register(a, request());
    expect(await beat(a, 10)).toBe(true);
    etcd.fault = answerLost;
    await expect(agent.register(a, request({ weight: 1 }))).rejects.toMatchObject(unavailable);
    etcd.fault = well;
    await agent.register(a, request({ weight: 2 }));
    expect(stored(a)?.weight).toBe(2);
    etcd.fault = answerLost;
    await expect(agent.deregister(a)).rejects.toMatchObject(unavailable);
    etcd.fault = well;
    await agent.deregister(a);
    expect(stored(a)).toBeUndefined();
    expect(agent.counts().instances).toBe(1);
  });

  it("leaves no instance behind that nobody answers for", async () => {
    const { etcd, agent, stored, live } = agentOnMemory();
    await agent.register(ref("other"), request());
    etcd.fault = answerLost;
    await expect(agent.register(a, request())).rejects.toMatchObject(unavailable);
    etcd.fault = well;
    await expect(agent.heartbeat(a)).rejects.toMatchObject({ code: "not_found" });
    expect(agent.list({ namespace: "default", limit: 10 }).instances).toHaveLength(1);
    await live(5);
    expect(stored(a)).toBeUndefined();
    expect(etcd.entries.has(instanceKey(a))).toBe(false);
  });

  it("does nothing when it reaches etcd after its instance was given up", async () => {
    const { etcd, agent, stored, live } = agentOnMemory();
    await agent.register(ref("other"), request({ ttlSeconds: 600 }));
    const transact = etcd.transact.bind(etcd);
    let late = () => Promise.resolve<unknown>(undefined);
    etcd.transact = (...call) => {
      late = () => transact(...call);
      return Promise.reject(new EtcdError("unavailable", "timed out"));
    };
    await expect(agent.register(a, request())).rejects.toMatchObject(unavailable);
    etcd.transact = transact;
    await live(6);
    await late();
    expect(stored(a)).toBeUndefined();
    await expect(agent.register(ref("b"), request())).resolves.toMatchObject({ created: true });
  });

  it("does nothing when it reaches etcd after the same was registered again, which it would have deleted", async () => {
    const { etcd, agent, stored } = agentOnMemory();
    await agent.register(a, request({ ttlSeconds: 600 }));
    const transact = etcd.transact.bind(etcd);
    let late = () => Promise.resolve<unknown>(undefined);
    etcd.transact = (...call) => {
      late = () => transact(...call);
      return Promise.reject(new EtcdError("unavailable", "timed out"));
    };
    await expect(agent.deregister(a)).rejects.toMatchObject(unavailable);
    etcd.transact = transact;
    await expect(agent.register(a, request({ ttlSeconds: 600 }))).resolves.toMatchObject({ created: false });
    await late();
    expect(stored(a)?.status).toBe("up");
  });

  it("does nothing when it reaches etcd after its instance was registered again and then deregistered", async () => {
    const { etcd, agent, stored } = agentOnMemory();
    await agent.register(ref("other"), request({ ttlSeconds: 600 }));
    const transact = etcd.transact.bind(etcd);
    let late = () => Promise.resolve<unknown>(undefined);
    etcd.transact = (...call) => {
      late = () => transact(...call);
      return Promise.reject(new EtcdError("unavailable", "timed out"));
    };
    await expect(agent.register(a, request())).rejects.toMatchObject(unavailable);
    etcd.transact = transact;
    await agent.register(a, request());
    await agent.deregister(a);
    await late();
    expect(stored(a)).toBeUndefined();
  });

  it("is fenced off once for all that failed together", async () => {
    const { etcd, agent } = agentOnMemory();
    await agent.register(ref("other"), request({ ttlSeconds: 600 }));
    const refs = Array.from({ length: 100 }, (_, index) => ref(`i${index}`));
    etcd.fault = answerLost;
    await Promise.allSettled(refs.map((each) => agent.register(each, request())));
    etcd.fault = well;
    const transact = etcd.transact.bind(etcd);
    let fences = 0;
    etcd.transact = (compares, success, failure) => {
      if (success.some(({ type, key }) => type === "put" && key.startsWith("/fingerpost/_agents/"))) fences += 1;
      return transact(compares, success, failure);
    };
    const answers = await Promise.all(refs.map((each) => agent.register(each, request())));
    expect(answers).toHaveLength(100);
    expect(fences).toBe(1);
  });

  it("is cleaned up although the answer to the clean-up is lost as well, and its lease serves on", async () => {
    const { etcd, agent, stored, leaseOf, live } = agentOnMemory();
    await agent.register(ref("other"), request({ ttlSeconds: 600 }));
    etcd.fault = answerLost;
    await expect(agent.register(a, request())).rejects.toMatchObject(unavailable);
    await live(4);
    etcd.fault = well;
    await live(3);
    expect(stored(a)).toBeUndefined();
    await agent.register(ref("b"), request({ ttlSeconds: 600 }));
    expect(leaseOf(ref("b"))).toBe(leaseOf(ref("other")));
    expect(agent.counts()).toMatchObject({ instances: 2, leases: 1 });
  });

  it("is made under another lease when it is sent again after its lease has ended", async () => {
    const { etcd, agent, stored, leaseOf, beat } = agentOnMemory();
    await agent.register(ref("other"), request({ ttlSeconds: 600 }));
    const lease = leaseOf(ref("other")) ?? "";
    etcd.fault = answerLost;
    await expect(agent.register(a, request())).rejects.toMatchObject(unavailable);
    etcd.fault = well;
    await etcd.revokeLease(lease);
    await expect(agent.register(a, request())).resolves.toMatchObject({ created: true });
    expect(await beat(a, 5)).toBe(true);
    expect(stored(a)?.status).toBe("up");
    expect(stored(ref("other"))?.status).toBe("up");
    expect(agent.list({ namespace: "default", limit: 10 }).instances).toHaveLength(2);
  });

  it("of an update is settled by the next heartbeat", async () => {
    const { etcd, agent, stored, beat } = agentOnMemory();
    await agent.register(a, request());
    etcd.fault = answerLost;
    await expect(agent.drain(a)).rejects.toMatchObject(unavailable);
    expect(stored(a)?.status).toBe("draining");
    etcd.fault = well;
    expect(await beat(a, 2)).toBe(true);
    expect(stored(a)?.status).toBe("up");
  });
});
