import { describe, expect, it } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { encodeRegistration, REGISTRATION_BYTES_MAX } from "../../contract/registration.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import { toRegistration } from "./held.ts";

const a = ref("a");
const away = () => "refused" as const;
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

describe("an instance that lives with its agent", () => {
  const none = { type: "none" } as const;

  it("needs no heartbeat, and is told apart in what is shown", async () => {
    const { agent, stored, live } = agentOnMemory();
    expect(await agent.register(a, request(), none)).toMatchObject({ liveness: none });
    await live(120);
    expect(stored(a)?.status).toBe("up");
    await agent.heartbeat(a);
    expect(agent.list({ namespace: "default", limit: 1 }).instances).toMatchObject([{ liveness: none }]);
  });

  it("can come from heartbeats and go back to them", async () => {
    const { agent, stored, live } = agentOnMemory();
    await agent.register(a, request());
    await agent.register(a, request(), none);
    await live(60);
    expect(stored(a)?.status).toBe("up");
    await agent.register(a, request());
    await live(4);
    expect(stored(a)?.status).toBe("down");
  });

  it("drains as any other", async () => {
    const { agent, stored, live } = agentOnMemory({ drainSeconds: 5 });
    await agent.register(a, request(), none);
    await agent.drain(a);
    await live(6);
    expect(stored(a)).toBeUndefined();
  });

  it("whose first write got no answer is cleaned up, unless it is registered after all", async () => {
    const { etcd, agent, stored, live } = agentOnMemory();
    await agent.register(ref("c"), request(), none);
    etcd.fault = () => "answer-lost";
    await expect(agent.register(a, request(), none)).rejects.toMatchObject({ code: "unavailable" });
    await expect(agent.register(ref("b"), request(), none)).rejects.toMatchObject({ code: "unavailable" });
    expect([stored(a), stored(ref("b"))]).toMatchObject([{ status: "up" }, { status: "up" }]);
    etcd.fault = well;
    await agent.register(ref("b"), request(), none);
    await live(30);
    expect(stored(a)).toBeUndefined();
    expect(agent.counts().instances).toBe(2);
    expect(stored(ref("b"))?.status).toBe("up");
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

describe("an instance that the file has registered", () => {
  const none = { type: "none" } as const;

  it("is changed and removed by the file alone, and outlives any silence", async () => {
    const { agent, stored, live } = agentOnMemory();
    await agent.register(a, request(), none, "file");
    for (const attempt of [agent.register(a, request({ port: 1 })), agent.deregister(a), agent.drain(a)]) {
      await expect(attempt).rejects.toMatchObject({ code: "conflict" });
    }
    await live(3600);
    expect(stored(a)).toMatchObject({ status: "up", port: request().port });
    expect(agent.fromFile()).toEqual([a]);
    await agent.deregister(a, "file");
    expect(stored(a)).toBeUndefined();
  });

  it("is the file's from then on, when the API had it before", async () => {
    const { agent, stored, live } = agentOnMemory();
    await agent.register(a, request());
    await agent.register(a, request(), none, "file");
    await expect(agent.register(a, request())).rejects.toMatchObject({ code: "conflict" });
    await live(3600);
    expect(stored(a)?.status).toBe("up");
  });
});

it("what a first write of unknown outcome left is gone within half a minute, however long its TTL is", async () => {
  for (const fields of [{ ttlSeconds: 3600 }, { ttlSeconds: 3600, status: "draining" }]) {
    const { etcd, agent, stored, live } = agentOnMemory({ drainSeconds: 600 });
    await agent.register(ref("other"), request({ ttlSeconds: 3600 }));
    etcd.fault = () => "answer-lost";
    await expect(agent.register(ref("a"), request(fields))).rejects.toMatchObject({ code: "unavailable" });
    etcd.fault = () => "none";
    expect(stored(ref("a"))).toBeDefined();
    await live(32);
    expect(stored(ref("a"))).toBeUndefined();
    expect(agent.counts().instances).toBe(1);
  }
});
