import { expect, it } from "vitest";
import { createMemoryEtcd } from "../../test/agent/memory-etcd.ts";
import type { Compare, Operation } from "../etcd/port.ts";
import { groupTransactions } from "./grouped-transactions.ts";

const SENTINEL: Compare = { key: "/sentinel", target: "modRevision", equals: 2 };

function setUp() {
  const etcd = createMemoryEtcd();
  etcd.put("/sentinel", "ours");
  const sizes: number[] = [];
  const comparesExtra: number[] = [];
  const transact = groupTransactions((compares, success, failure) => {
    sizes.push(success.length);
    comparesExtra.push(compares.length - success.length);
    if (Math.max(compares.length, success.length) > 128) throw new Error("more than etcd takes");
    return etcd.transact(compares, success, failure);
  });
  const absent = (key: string): Compare => ({ key, target: "modRevision", equals: 0 });
  /** As the agent registers: where there is none, and under a sentinel. */
  const create = (key: string, lease?: string) => {
    const put: Operation = { type: "put", key, value: key, ...(lease === undefined ? {} : { lease }) };
    return transact([absent(key), SENTINEL], [put], [{ type: "get", key }]);
  };
  return { etcd, sizes, comparesExtra, create };
}

const keys = (count: number) => Array.from({ length: count }, (_, index) => `/k${index}`);

it("a write is sent at once while few are under way", async () => {
  const { sizes, create, etcd } = setUp();
  const first = create("/first");
  expect(sizes).toEqual([1]);
  expect(await first).toMatchObject({ succeeded: true, revision: etcd.revision() });
});

it("writes that come while others are under way share transactions, none larger than etcd takes", async () => {
  const { etcd, sizes, comparesExtra, create } = setUp();
  const results = await Promise.all(keys(1000).map((key) => create(key)));
  expect(results.every(({ succeeded }) => succeeded)).toBe(true);
  expect(etcd.entries.size).toBe(1001);
  expect(sizes.length).toBeLessThan(30);
  // The sentinel that they have in common is compared once.
  expect(new Set(comparesExtra)).toEqual(new Set([1]));
  for (const [index, { revision }] of results.entries()) {
    expect(etcd.entries.get(`/k${index}`)?.modRevision).toBe(revision);
  }
});

it("writes under as many leases as there are writes share transactions too", async () => {
  const etcd = createMemoryEtcd();
  const transact = groupTransactions((...call) => etcd.transact(...call));
  const before = etcd.transactions();
  const results = await Promise.all(
    keys(300).map((key) =>
      transact(
        [
          { key, target: "modRevision", equals: 0 },
          { key: `/sentinel${key}`, target: "modRevision", equals: 0 },
        ],
        [{ type: "put", key, value: "" }],
      ),
    ),
  );
  expect(results.every(({ succeeded }) => succeeded)).toBe(true);
  expect(etcd.transactions() - before).toBeLessThan(20);
});

it("a write that finds its key changed is told what is there, and the others of its group are made", async () => {
  const { etcd, create } = setUp();
  etcd.put("/k40", "another's");
  const results = await Promise.all(keys(100).map((key) => create(key)));
  expect(results.filter(({ succeeded }) => !succeeded)).toHaveLength(1);
  expect(results[40]).toMatchObject({ succeeded: false, results: [{ key: "/k40", value: "another's" }] });
  expect(etcd.entries.get("/k40")?.value).toBe("another's");
});

it("a sentinel that has moved stops every write under it", async () => {
  const { etcd, create } = setUp();
  etcd.put("/sentinel", "another's");
  const results = await Promise.all(keys(100).map((key) => create(key)));
  expect(results.some(({ succeeded }) => succeeded)).toBe(false);
  expect(etcd.entries.size).toBe(1);
});

it("a write that etcd refuses fails alone", async () => {
  const { etcd, create } = setUp();
  const settled = await Promise.allSettled(keys(100).map((key) => create(key, key === "/k40" ? "gone" : undefined)));
  const failed = settled.flatMap((result, index) => (result.status === "rejected" ? [index] : []));
  expect(failed).toEqual([40]);
  expect(settled[40]).toMatchObject({ reason: { code: "lease_not_found" } });
  expect(etcd.entries.size).toBe(100);
});

it("an unknown outcome is unknown for every write of its group, and none is sent again", async () => {
  const { etcd, sizes, create } = setUp();
  // The first two are sent alone, and what comes meanwhile after them.
  etcd.fault = () => (sizes.length > 2 ? "answer-lost" : "none");
  const settled = await Promise.allSettled(keys(100).map((key) => create(key)));
  expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
  for (const result of settled.slice(2)) expect(result).toMatchObject({ reason: { code: "unavailable" } });
  expect(sizes).toEqual([1, 1, 60, 38]);
  etcd.fault = () => "none";
  expect(await create("/after")).toMatchObject({ succeeded: true });
});

it("what waits behind a write that etcd did not answer fails with it, and is never sent", async () => {
  const { etcd, sizes, create } = setUp();
  etcd.fault = () => "refused";
  const settled = await Promise.allSettled(keys(1000).map((key) => create(key)));
  for (const result of settled) expect(result).toMatchObject({ reason: { code: "unavailable" } });
  expect(sizes).toEqual([1, 1]);
  etcd.fault = () => "none";
  expect(await create("/after")).toMatchObject({ succeeded: true });
  expect(etcd.entries.size).toBe(2);
});
