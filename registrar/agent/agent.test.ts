import { describe, expect, it } from "vitest";
import { instanceKey, sentinelKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration, REGISTRATION_BYTES_MAX } from "../../contract/registration.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import { EtcdError } from "../etcd/port.ts";
import { toRegistration } from "./held.ts";

const a = ref("a");
const away = () => "refused" as const;
const answerLost = () => "answer-lost" as const;
const well = () => "none" as const;
const unavailable = { code: "unavailable", retryAfterSeconds: 2 };

describe("an instance that falls silent", () => {
  it("is put as down with its cause, and deleted after the grace time", async () => {
    const { agent, stored, live } = agentOnMemory();
    await agent.register(a, request());
    await live(2.5);
    expect(stored(a)?.status).toBe("up");
    await live(1);
    expect(stored(a)).toMatchObject({ status: "down", cause: "heartbeat" });
    await live(9);
    expect(stored(a)?.status).toBe("down");
    await live(1.5);
    expect(stored(a)).toBeUndefined();
    await expect(agent.heartbeat(a)).rejects.toMatchObject({ code: "not_found" });
  });

  it("has the grace time it was configured, and without one its own TTL when that is longer", async () => {
    const short = agentOnMemory({ downSeconds: 2 });
    await short.agent.register(a, request());
    await short.live(6);
    expect(short.stored(a)).toBeUndefined();

    const long = agentOnMemory();
    await long.agent.register(a, request({ ttlSeconds: 60 }));
    await long.live(119);
    expect(long.stored(a)?.status).toBe("down");
    await long.live(2);
    expect(long.stored(a)).toBeUndefined();
  });

  it("is up again with its next heartbeat", async () => {
    const { agent, stored, live, beat } = agentOnMemory();
    const { instance } = await agent.register(a, request());
    await live(5);
    expect(stored(a)?.status).toBe("down");
    await agent.heartbeat(a);
    expect(stored(a)).toEqual(instance);
    expect(await beat(a, 30)).toBe(true);
    expect(stored(a)?.status).toBe("up");
  });

  it("departs as soon as etcd is back, when etcd was away, and stays when a heartbeat came before", async () => {
    const { etcd, agent, stored, live, beat } = agentOnMemory();
    await agent.register(a, request());
    await agent.register(ref("b"), request());
    etcd.fault = away;
    await live(10);
    await beat(ref("b"), 2);
    etcd.fault = well;
    await beat(ref("b"), 3);
    expect(stored(a)?.status).toBe("down");
    expect(stored(ref("b"))?.status).toBe("up");
  });
});

describe("a heartbeat that comes late, but before the departure is done,", () => {
  it("keeps an instance that waits for its turn, and one whose departure is being written", async () => {
    const { clock, etcd, agent, stored, live } = agentOnMemory();
    const refs = Array.from({ length: 20 }, (_, index) => ref(`i${index}`));
    await Promise.all(refs.map((each) => agent.register(each, request())));
    const transact = etcd.transact.bind(etcd);
    const { promise: slow, resolve: answer } = Promise.withResolvers<void>();
    const statusesWritten = new Map<string, string[]>();
    etcd.transact = async (compares, success, failure) => {
      await slow;
      for (const operation of success) {
        if (operation.type !== "put") continue;
        const { id, status } = JSON.parse(operation.value) as { id: string; status: string };
        statusesWritten.set(id, [...(statusesWritten.get(id) ?? []), status]);
      }
      return await transact(compares, success, failure);
    };
    await live(3.5);
    await Promise.all(refs.map((each) => agent.heartbeat(each)));
    answer();
    await clock.advance(0);
    expect(refs.map((each) => stored(each)?.status)).toEqual(refs.map(() => "up"));
    // Sixteen were on their way; the others never left.
    expect([...statusesWritten.values()]).toEqual(Array.from({ length: 16 }, () => ["down", "up"]));
  });
});

describe("a registration", () => {
  it("that changes nothing writes nothing, and counts as a heartbeat", async () => {
    const { etcd, agent, stored, live } = agentOnMemory();
    const first = await agent.register(a, request({ metadata: { x: "1", y: "2" } }));
    expect(first.created).toBe(true);
    const revision = etcd.revision();
    const transactions = etcd.transactions();
    for (let round = 0; round < 5; round++) {
      await live(2);
      const again = await agent.register(a, request({ metadata: { y: "2", x: "1" } }));
      expect(again).toEqual({ ...first, created: false });
    }
    expect(etcd.revision()).toBe(revision);
    expect(etcd.transactions()).toBe(transactions);
    expect(stored(a)?.status).toBe("up");
  });

  it("that changes something is written, and keeps the time of the first", async () => {
    const { agent, stored, live } = agentOnMemory();
    const first = await agent.register(a, request());
    await live(2);
    const second = await agent.register(a, request({ weight: 7 }));
    expect(second).toEqual({ ...first, created: false, instance: { ...first.instance, weight: 7 } });
    expect(stored(a)).toEqual(second.instance);
  });

  it("past the bound of the agent is refused, and nothing is written", async () => {
    const { etcd, agent } = agentOnMemory({ instancesMax: 1 });
    await agent.register(a, request());
    const revision = etcd.revision();
    await expect(agent.register(ref("b"), request())).rejects.toMatchObject({ code: "resource_exhausted" });
    expect(etcd.revision()).toBe(revision);
    await agent.deregister(a);
    await expect(agent.register(ref("b"), request())).resolves.toMatchObject({ created: true });
  });

  it("that would not fit once it is down is refused, so that every departure can be written", async () => {
    const { etcd, agent } = agentOnMemory();
    const registered = toRegistration(
      "a",
      request({ metadata: { a: "x".repeat(2000), b: "" } }),
      "2026-01-01T00:00:00.000Z",
    );
    const room = REGISTRATION_BYTES_MAX - encodeRegistration(registered).length;
    const metadata = { a: "x".repeat(2000), b: "x".repeat(room) };
    await expect(agent.register(a, request({ metadata }))).rejects.toMatchObject({ code: "invalid_argument" });
    expect(etcd.entries.size).toBe(0);
    await agent.register(a, request({ metadata: { ...metadata, b: "x".repeat(room - 30) } }));
  });

  it("of another TTL takes effect without a write", async () => {
    const { agent, stored, live } = agentOnMemory();
    await agent.register(a, request());
    await agent.register(a, request({ ttlSeconds: 20 }));
    await live(15);
    expect(stored(a)?.status).toBe("up");
    await live(6);
    expect(stored(a)?.status).toBe("down");
  });
});

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

describe("a draining instance", () => {
  it("is put as draining, and removed after its time whatever heartbeats come", async () => {
    const { agent, stored, beat } = agentOnMemory({ drainSeconds: 5 });
    await agent.register(a, request());
    await agent.drain(a);
    expect(stored(a)?.status).toBe("draining");
    await agent.drain(a);
    expect(await beat(a, 4)).toBe(true);
    expect(stored(a)?.status).toBe("draining");
    await beat(a, 2);
    expect(stored(a)).toBeUndefined();
  });

  it("that registers again is up and stays", async () => {
    const { agent, stored, beat } = agentOnMemory({ drainSeconds: 5 });
    await agent.register(a, request());
    await agent.drain(a);
    await agent.register(a, request());
    expect(await beat(a, 20)).toBe(true);
    expect(stored(a)?.status).toBe("up");
  });
});

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

  it("that is lost has its instances put again under a new one, in one transaction", async () => {
    const { etcd, agent, stored, leaseOf, live, beat } = agentOnMemory();
    const refs = Array.from({ length: 127 }, (_, index) => ref(`i${index}`));
    await Promise.all(refs.map((each) => agent.register(each, request({ ttlSeconds: 60 }))));
    const before = refs.map(stored);
    const lost = leaseOf(a) ?? leaseOf(ref("i0")) ?? "";
    const transactions = etcd.transactions();
    etcd.expire(lost);
    expect(stored(ref("i0"))).toBeUndefined();
    await live(1);
    expect(refs.map(stored)).toEqual(before);
    expect(etcd.transactions()).toBe(transactions + 1);
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

describe("an instance that another agent has taken", () => {
  const takenBy = async (setUp: ReturnType<typeof agentOnMemory>) => {
    const { instance } = await setUp.agent.register(a, request());
    const theirs = JSON.stringify({ ...instance, port: 9999 });
    setUp.etcd.put(instanceKey(a), theirs);
    return theirs;
  };

  it("is not touched by a deregistration here, which succeeds", async () => {
    const setUp = agentOnMemory();
    const theirs = await takenBy(setUp);
    await setUp.agent.deregister(a);
    expect(setUp.etcd.entries.get(instanceKey(a))?.value).toBe(theirs);
    expect(setUp.agent.counts().instances).toBe(0);
  });

  it("is not touched by draining it here, which fails", async () => {
    const setUp = agentOnMemory();
    const theirs = await takenBy(setUp);
    await expect(setUp.agent.drain(a)).rejects.toMatchObject({ code: "not_found" });
    expect(setUp.etcd.entries.get(instanceKey(a))?.value).toBe(theirs);
    expect(setUp.agent.counts().instances).toBe(0);
  });

  it("is not touched when it falls silent here", async () => {
    const setUp = agentOnMemory();
    const theirs = await takenBy(setUp);
    await setUp.live(60);
    expect(setUp.etcd.entries.get(instanceKey(a))?.value).toBe(theirs);
    expect(setUp.agent.counts().instances).toBe(0);
  });

  it("is taken back by a registration here, which answers that it was there", async () => {
    const setUp = agentOnMemory();
    await takenBy(setUp);
    await expect(setUp.agent.register(a, request({ port: 1 }))).resolves.toMatchObject({ created: false });
    expect(setUp.stored(a)?.port).toBe(1);
  });

  it("is told to register again at its next heartbeat after an audit", async () => {
    const setUp = agentOnMemory({ leaseTtlSeconds: 30 });
    await takenBy(setUp);
    expect(await setUp.beat(a, 35)).toBe(false);
  });
});

describe("an instance whose key somebody deleted", () => {
  it("is put again by an audit, as long as its heartbeats come", async () => {
    const { etcd, agent, stored, beat } = agentOnMemory({ leaseTtlSeconds: 30 });
    await agent.register(a, request());
    etcd.delete(instanceKey(a));
    expect(await beat(a, 35)).toBe(true);
    expect(stored(a)?.status).toBe("up");
  });
});

describe("close", () => {
  it("leaves the instances to their leases, refuses what comes after, and stops every timer", async () => {
    const { etcd, agent, stored, live } = agentOnMemory();
    await agent.register(a, request());
    const closed = agent.close({ leave: false });
    await expect(agent.register(ref("b"), request())).rejects.toMatchObject({ code: "unavailable" });
    await closed;
    const transactions = etcd.transactions();
    await live(120);
    expect(stored(a)?.status).toBe("up");
    expect(etcd.transactions()).toBe(transactions);
  });

  it("that leaves deletes every instance before its sentinel, but none of another agent", async () => {
    const { etcd, agent } = agentOnMemory();
    const refs = Array.from({ length: 200 }, (_, index) => ref(`i${index}`));
    await Promise.all(refs.map((each) => agent.register(each, request())));
    const moved = instanceKey(ref("i5"));
    etcd.put(moved, "theirs");
    const order: string[] = [];
    const transact = etcd.transact.bind(etcd);
    const revokeLease = etcd.revokeLease.bind(etcd);
    etcd.transact = (...call) => (order.push("delete"), transact(...call));
    etcd.revokeLease = (lease) => (order.push("revoke"), revokeLease(lease));
    await agent.close({ leave: true });
    expect([...etcd.entries.keys()]).toEqual([moved]);
    expect(order).toEqual(["delete", "delete", "delete", "revoke", "revoke"]);
  });

  it("ends in bounded time when etcd never answers", async () => {
    const { clock, etcd, agent } = agentOnMemory();
    await agent.register(a, request());
    etcd.transact = () => new Promise(() => {});
    const all = Promise.allSettled([agent.register(a, request({ weight: 1 })), agent.close({ leave: true })]);
    const [[registered, closed]] = await Promise.all([all, clock.advance(10_000)]);
    expect(registered).toMatchObject({ status: "rejected", reason: unavailable });
    expect(closed.status).toBe("fulfilled");
  });
});
