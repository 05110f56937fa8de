import { expect, it } from "vitest";
import { agentOnMemory } from "../../test/agent/agent-on-memory.ts";
import { createLog } from "../../node/log.ts";
import { parseStatic } from "./parse.ts";
import { createStaticRegistrations } from "./static.ts";

const web = { service: "web", address: "10.0.0.1", port: 80 };

function stage() {
  const memory = agentOnMemory();
  const { agent, clock } = memory;
  const file = createStaticRegistrations({ agent, clock, random: () => 0.5, log: createLog("test", "silent") });
  const says = (...tables: readonly object[]) => file.apply(parseStatic(tables, "default", []));
  const ids = () => agent.fromFile().map(({ instance }) => instance);
  return { ...memory, file, says, ids };
}

it("what the file says while etcd is away is registered once it is back", async () => {
  const { etcd, file, says, ids, live } = stage();
  etcd.fault = () => "refused";
  says({ ...web, id: "a" }, { ...web, id: "b" });
  await live(30);
  expect(file.status()).toEqual({ registrations: 2, pending: 2 });
  etcd.fault = () => "none";
  await live(6);
  expect(ids()).toEqual(["b", "a"]);
  expect(file.status()).toEqual({ registrations: 2, pending: 0 });
});

it("only the last of what the file said meanwhile counts", async () => {
  const { etcd, says, ids, live } = stage();
  says({ ...web, id: "a" });
  await live(1);
  etcd.fault = () => "refused";
  says({ ...web, id: "b" });
  await live(10);
  says({ ...web, id: "c" });
  etcd.fault = () => "none";
  await live(1);
  expect(ids()).toEqual(["c"]);
});

it("what an earlier run registered from the file, and the file has no longer, is deregistered", async () => {
  const { agent, says, stored, live } = stage();
  const [gone] = parseStatic([{ ...web, id: "gone" }], "default", []);
  if (!gone) throw new Error("no registration");
  await agent.register(gone.ref, gone.request, gone.liveness, "file");
  says();
  await live(1);
  expect(stored(gone.ref)).toBeUndefined();
});

it("what another agent has taken is taken back with the next change of the file, and not before", async () => {
  const { agent, etcd, says, ids, live } = stage();
  says({ ...web, id: "a" });
  await live(1);
  // As the recovery does when it finds the key under another's lease.
  const [held] = agent.fromFile();
  if (!held) throw new Error("nothing is held");
  await agent.deregister(held, "file");
  await live(60);
  expect(ids()).toEqual([]);
  says({ ...web, id: "a" });
  await live(1);
  expect(ids()).toEqual(["a"]);
  expect(etcd.entries.has("/fingerpost/default/web/a")).toBe(true);
});

it("nothing is begun after the end", async () => {
  const { file, says, ids, live } = stage();
  await file.close();
  says({ ...web, id: "a" });
  await live(1);
  expect(ids()).toEqual([]);
});
