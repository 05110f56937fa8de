import { expect, it } from "vitest";
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
