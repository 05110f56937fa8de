import { describe, expect, it } from "vitest";
import { sentinelKey } from "../../contract/etcd-keys.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import { EtcdError } from "../etcd/port.ts";

/** More batches than are under way at a time. */
const INSTANCES = 1200;

it("a namespace that etcd denies keeps no other from being registered again", async () => {
  const { etcd, agent, stored, live } = agentOnMemory();
  const denied = Array.from({ length: INSTANCES }, (_, index) => ref(`i${index}`, "web", "denied"));
  const allowed = ref("b", "web", "allowed");
  for (const each of [...denied, allowed]) await agent.register(each, request({ ttlSeconds: 600 }));
  const transact = etcd.transact.bind(etcd);
  etcd.transact = (compares, success, failure) =>
    success.some(({ key }) => key.startsWith("/fingerpost/denied/"))
      ? Promise.reject(new EtcdError("permission_denied", "no"))
      : transact(compares, success, failure);
  for (const lease of new Set([...etcd.entries.values()].map((entry) => entry.lease))) etcd.expire(lease);
  await live(60);
  expect(agent.counts().recovering).toBe(INSTANCES);
  expect(stored(allowed)?.status).toBe("up");
});

describe("a batch that etcd does not answer in time", () => {
  const refs = Array.from({ length: 100 }, (_, index) => ref(`i${index}`));

  /** All of them lost, and the batch that puts them again without an answer; gives how etcd carries it out. */
  async function unanswered(carriedOut: "at once" | "late") {
    const on = agentOnMemory();
    const { etcd, agent, leaseOf, live } = on;
    for (const each of refs) await agent.register(each, request({ ttlSeconds: 600 }));
    const transact = etcd.transact.bind(etcd);
    let arrive: (() => Promise<unknown>) | undefined;
    let isAway = true;
    etcd.transact = async (...call) => {
      // Reads are answered all the same.
      if (call[1].every(({ type }) => type === "get")) return await transact(...call);
      const run = () => transact(...call).catch(() => {});
      if (carriedOut === "at once" && !arrive) await run();
      if (isAway) arrive ??= run;
      if (isAway) throw new EtcdError("unavailable", "timed out");
      return await transact(...call);
    };
    etcd.expire(leaseOf(refs[0]!) ?? "");
    await live(1);
    return { ...on, back: () => (isAway = false), arrive: async () => await arrive?.() };
  }

  it("but carries out takes nothing away a second time, and is settled once etcd answers", async () => {
    const { etcd, agent, leaseOf, live, back } = await unanswered("at once");
    const lease = leaseOf(refs[0]!);
    expect(lease).toBeDefined();
    const revoked: string[] = [];
    const revokeLease = etcd.revokeLease.bind(etcd);
    etcd.revokeLease = (id) => (revoked.push(id), revokeLease(id));
    for (const step of ["away", "back"]) {
      if (step === "back") back();
      for (let second = 0; second < 20; second++) {
        await live(1);
        expect(refs.filter((each) => leaseOf(each) !== lease)).toEqual([]);
      }
    }
    expect(revoked).toEqual([]);
    expect(agent.counts()).toMatchObject({ instances: 100, leases: 1, recovering: 0 });
    // What comes next has room there.
    await agent.register(ref("next"), request());
    expect(leaseOf(ref("next"))).toBe(lease);
  });

  it("leaves nothing of what is deregistered in between, even when etcd carries it out only then", async () => {
    for (const when of ["at once", "late"] as const) {
      const { etcd, agent, stored, leaseOf, live, back, arrive } = await unanswered(when);
      // Longer than until the agent's audit.
      await live(40);
      back();
      // A lease that may have no sentinel takes nothing else.
      await agent.register(ref("next"), request({ ttlSeconds: 600 }));
      expect(etcd.entries.has(sentinelKey("a1", leaseOf(ref("next")) ?? ""))).toBe(true);
      await agent.deregister(refs[0]!);
      expect(stored(refs[0]!)).toBeUndefined();
      await arrive();
      expect(stored(refs[0]!)).toBeUndefined();
      await live(20);
      expect(refs.filter((each) => !stored(each))).toEqual([refs[0]]);
      expect(agent.counts()).toMatchObject({ instances: 100, leases: 2, recovering: 0 });
    }
  });
});
