import { describe, expect, it } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { agentOnMemory, ref, request } from "../../test/agent/agent-on-memory.ts";
import type { MemoryEtcd } from "../../test/agent/memory-etcd.ts";
import { EtcdError, type Etcd, type KeyValue } from "../etcd/port.ts";

const a = ref("a");
const b = ref("b");
const lasting = request({ ttlSeconds: 600 });

type Transaction = Parameters<Etcd["transact"]>;

/** An agent that has registered `a` and `b`, a service that has moved `a` to another agent since, and much else. */
async function moved(changes = 3) {
  const on = agentOnMemory();
  const { etcd, agent, leaseOf } = on;
  const { instance } = await agent.register(a, lasting);
  await agent.register(b, lasting);
  const lease = leaseOf(b) ?? "";
  const change = () => {
    for (let count = 0; count < changes; count++) etcd.put("/fingerpost/default/other/x", String(count));
  };
  change();
  const { lease: others } = await etcd.grantLease(60);
  etcd.put(instanceKey(a), JSON.stringify({ ...instance, weight: 1 }), others);
  change();
  const agentHas = () => agent.list({ namespace: "default", limit: 10 }).instances.map((view) => view.instance.id);
  return { ...on, lease, others, change, agentHas };
}

/** Every transaction that asks for what was goes through `instead`. */
function atHistory(
  etcd: MemoryEtcd,
  instead: (pass: () => ReturnType<Etcd["transact"]>) => ReturnType<Etcd["transact"]>,
) {
  const transact = etcd.transact.bind(etcd);
  etcd.transact = (...call: Transaction) =>
    call[1].some((operation) => operation.type === "get" && operation.atRevision !== undefined)
      ? instead(() => transact(...call))
      : transact(...call);
}

describe("an instance that moved to another agent before its first one lost the lease", () => {
  const endings = ["its lease ended before", "its lease ended after", "deregistered before", "deregistered after"];
  const cases = endings.flatMap((ending) => [0, 3, 400].map((changes) => [ending, changes] as const));

  it.each(cases)("is not put again: %s that, with %i other changes between", async (ending, changes) => {
    const { etcd, agent, stored, live, lease, others, change, agentHas } = await moved(changes);
    const end = () => {
      change();
      if (ending.startsWith("its lease")) etcd.expire(others);
      else etcd.delete(instanceKey(a));
      change();
    };
    if (ending.endsWith("before")) end();
    etcd.fault = () => "refused";
    etcd.expire(lease);
    if (ending.endsWith("after")) end();
    // Long enough for many tries in vain, none of which is to count.
    await live(60);
    etcd.fault = () => "none";
    await live(10);
    expect([stored(a)?.status, stored(b)?.status]).toEqual([undefined, "up"]);
    expect(agentHas()).toEqual(["b"]);
    await expect(agent.heartbeat(a)).rejects.toMatchObject({ code: "not_found" });
    await agent.heartbeat(b);
  });

  it("is so known, too, where all but the last of its lease's history is compacted", async () => {
    const { etcd, stored, live, lease, others, change } = await moved(200);
    etcd.compact(etcd.revision() - 20);
    etcd.expire(others);
    etcd.expire(lease);
    change();
    await live(5);
    expect([stored(a)?.status, stored(b)?.status]).toEqual([undefined, "up"]);
  });
});

describe("an instance that was lost is back", () => {
  it("though somebody deleted it by hand just before its lease ended", async () => {
    const { etcd, stored, live, lease } = await moved();
    etcd.delete(instanceKey(b));
    etcd.expire(lease);
    await live(2);
    expect(stored(b)?.status).toBe("up");
  });

  it("where etcd has compacted all that was before", async () => {
    const { etcd, stored, live, lease, change } = await moved();
    etcd.fault = () => "refused";
    etcd.expire(lease);
    change();
    etcd.compact(etcd.revision());
    etcd.fault = () => "none";
    await live(2);
    expect(stored(b)?.status).toBe("up");
  });

  it.each(["fails", "hangs"])("within seconds where all of etcd is well but its history, which %s", async (how) => {
    const { etcd, stored, live, lease } = await moved();
    atHistory(etcd, () =>
      how === "fails" ? Promise.reject(new EtcdError("unavailable", "no")) : new Promise(() => {}),
    );
    etcd.expire(lease);
    await live(8);
    expect(stored(b)?.status).toBe("up");
  });

  it.each(["of before", "without this lease"])("where etcd was restored, and has a history %s", async (history) => {
    const { etcd, agent, stored, live, leaseOf } = agentOnMemory();
    const { lease: others } = await etcd.grantLease(60);
    etcd.put(instanceKey(b), JSON.stringify({ id: "b" }), others);
    const before = etcd.entries.get(instanceKey(b));
    await agent.register(b, lasting);
    // Another agent has it there, as long ago as it had; or lately, but the sentinel never was.
    const told = (found: KeyValue | undefined) => {
      if (found?.key !== instanceKey(b)) return history === "of before" ? found : undefined;
      return history === "of before" ? before : before && { ...before, modRevision: found.modRevision + 1000 };
    };
    atHistory(etcd, async (pass) => {
      const result = await pass();
      return { ...result, results: result.results.map(told) };
    });
    etcd.expire(leaseOf(b) ?? "");
    await live(2);
    expect(stored(b)?.status).toBe("up");
  });
});

it("what etcd is asked for a full lease is a few requests, however much happened since", async () => {
  const { etcd, agent, stored, leaseOf, live } = agentOnMemory();
  const full = Array.from({ length: 127 }, (_, index) => ref(`i${index}`));
  for (const one of full) await agent.register(one, lasting);
  for (let count = 0; count < 5000; count++) etcd.put("/fingerpost/default/other/x", String(count));
  let gets = 0;
  const get = etcd.get.bind(etcd);
  etcd.get = (...call) => (gets++, get(...call));
  const before = etcd.transactions();
  etcd.expire(leaseOf(full[0]!) ?? "");
  await live(1);
  expect(full.filter((one) => !stored(one))).toEqual([]);
  // One for now, two for the end of the lease, one for the instances, and the one that puts them.
  expect(gets).toBe(1);
  expect(etcd.transactions() - before).toBe(4);
});
