import { expect, it } from "vitest";
import { agentOnMemory } from "../../test/agent/agent-on-memory.ts";
import { createLogTo, type LogLine } from "../../node/log.ts";
import { parseStatic } from "./parse.ts";
import { createStaticRegistrations } from "./static.ts";

const web = { service: "web", address: "10.0.0.1", port: 80 };

const keyOfA = "/fingerpost/default/web/a";

function stage() {
  const lines: LogLine[] = [];
  const memory = agentOnMemory();
  const { agent, clock } = memory;
  const file = createStaticRegistrations({
    agent,
    clock,
    random: () => 0.5,
    log: createLogTo("test", (line) => lines.push(line)),
  });
  const warnings = () => lines.filter(({ level }) => level === "warn");
  const says = (...tables: readonly object[]) => file.apply(parseStatic(tables, "default", []));
  const ids = () => agent.fromFile().map(({ instance }) => instance);
  return { ...memory, warnings, file, says, ids };
}

it("what the file says while etcd is away is registered once it is back", async () => {
  const { etcd, file, says, ids, live } = stage();
  etcd.fault = () => "refused";
  says({ ...web, id: "a" }, { ...web, id: "b" });
  await live(30);
  expect(file.status()).toEqual({ registrations: 2, pending: 2, moved: 0 });
  etcd.fault = () => "none";
  await live(6);
  expect(ids()).toEqual(["b", "a"]);
  expect(file.status()).toEqual({ registrations: 2, pending: 0, moved: 0 });
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

/** Another agent takes "a", and the one of the stage notices it. */
async function takenByAnother(stageOf: ReturnType<typeof stage>) {
  const { etcd, file, says, ids, live } = stageOf;
  says({ ...web, id: "a" }, { ...web, id: "b" });
  await live(1);
  const { lease } = await etcd.grantLease(30);
  etcd.put(keyOfA, JSON.stringify({ id: "a", address: "10.0.0.2", port: 80 }), lease);
  const before = etcd.entries.get(keyOfA);
  await live(300);
  expect(ids()).toEqual(["b"]);
  expect(etcd.entries.get(keyOfA)).toEqual(before);
  expect(file.status()).toEqual({ registrations: 2, pending: 0, moved: 1 });
  return lease;
}

it("what another agent has taken is left to that, told, and taken back with the next change of the file", async () => {
  const stageOf = stage();
  const { etcd, file, says, ids, live, warnings } = stageOf;
  const lease = await takenByAnother(stageOf);
  expect(warnings()).toMatchObject([{ fields: { instances: 1, first: { service: "web", instance: "a" } } }]);
  says({ ...web, id: "a" }, { ...web, id: "b" });
  await live(1);
  expect(ids().toSorted()).toEqual(["a", "b"]);
  expect(etcd.entries.get(keyOfA)?.lease).not.toBe(lease);
  expect(file.status()).toEqual({ registrations: 2, pending: 0, moved: 0 });
});

it("what another agent has taken is put again by itself once that agent has ended, also where etcd is away then", async () => {
  const stageOf = stage();
  const { etcd, file, ids, live, stored } = stageOf;
  await etcd.revokeLease(await takenByAnother(stageOf));
  etcd.fault = () => "answer-lost";
  await live(60);
  expect(file.status().moved).toBe(1);
  etcd.fault = () => "none";
  await live(60);
  expect(ids().toSorted()).toEqual(["a", "b"]);
  expect(stored({ namespace: "default", service: "web", instance: "a" })).toMatchObject({ address: "10.0.0.1" });
  expect(file.status()).toEqual({ registrations: 2, pending: 0, moved: 0 });
});

it("what another agent has taken, and the file has no longer, is not put again", async () => {
  const stageOf = stage();
  const { etcd, file, says, ids, live } = stageOf;
  const lease = await takenByAnother(stageOf);
  says({ ...web, id: "b" });
  await live(1);
  await etcd.revokeLease(lease);
  await live(120);
  expect(ids()).toEqual(["b"]);
  expect(etcd.entries.has(keyOfA)).toBe(false);
  expect(file.status()).toEqual({ registrations: 1, pending: 0, moved: 0 });
});

it("nothing is begun after the end", async () => {
  const { file, says, ids, live } = stage();
  await file.close();
  says({ ...web, id: "a" });
  await live(1);
  expect(ids()).toEqual([]);
});
