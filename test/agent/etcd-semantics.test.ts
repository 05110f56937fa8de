import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { createEtcdModel } from "../simulation/etcd-model.ts";
import { createTimeline } from "../simulation/timeline.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { createMemoryEtcd } from "./memory-etcd.ts";
import { connect } from "./registrar.ts";

let server: TestEtcd;
let real: Etcd;

beforeAll(async () => {
  server = await startTestEtcd();
  real = connect(server, "user");
});
afterAll(async () => {
  await real.close();
  await server.close();
});

/** The etcd of a simulated world, without the network that it has there. */
function simulated(): Pick<Etcd, "get" | "transact" | "grantLease" | "revokeLease" | "describeLease"> {
  const model = createEtcdModel(createTimeline(), () => undefined);
  return {
    get: async (key, atRevision) => model.get(key, atRevision),
    transact: async (...transaction) => model.transact(...transaction),
    grantLease: async (ttlSeconds) => ({ lease: model.grant(ttlSeconds), ttlSeconds }),
    revokeLease: async (lease) => model.endLease(lease),
    describeLease: async (lease) => model.describe(lease),
  };
}

/** What the agent's fence and leases rest on must hold of the real etcd, and of the one in memory for it to be worth anything. */
describe.each(["real", "memory", "simulated"] as const)("%s etcd", (kind) => {
  const etcd = kind === "real" ? undefined : kind === "memory" ? createMemoryEtcd() : simulated();
  const client = () => etcd ?? real;
  const key = (name: string) => `/fingerpost/default/semantics/${name}`;
  const get = async (name: string) => (await client().get(key(name))).entry;
  const put = (name: string, value: string, lease?: string) =>
    client().transact([], [{ type: "put", key: key(name), value, ...(lease === undefined ? {} : { lease }) }]);

  it("takes a put where there is no key only once, and tells the other what is there", async () => {
    const attempt = (value: string) =>
      client().transact(
        [{ key: key("once"), target: "modRevision", equals: 0 }],
        [{ type: "put", key: key("once"), value }],
        [{ type: "get", key: key("once") }],
      );
    const first = await attempt("a");
    expect(first.succeeded).toBe(true);
    const second = await attempt("b");
    expect(second.succeeded).toBe(false);
    expect(second.revision).toBe(first.revision);
    expect(second.results[0]).toMatchObject({ value: "a", modRevision: first.revision, lease: "0" });
    expect(second.results[0]?.createRevision).toBe(first.revision);
  });

  it("has every key of one transaction at its revision, and none when one compare fails", async () => {
    const { revision } = await client().transact(
      [],
      [
        { type: "put", key: key("t1"), value: "1" },
        { type: "put", key: key("t2"), value: "2" },
      ],
    );
    expect((await get("t1"))?.modRevision).toBe(revision);
    expect((await get("t2"))?.modRevision).toBe(revision);
    const refused = await client().transact(
      [
        { key: key("t1"), target: "modRevision", equals: revision },
        { key: key("t2"), target: "modRevision", equals: revision - 1 },
      ],
      [{ type: "delete", key: key("t1") }],
      [{ type: "get", key: key("gone") }],
    );
    expect(refused).toMatchObject({ succeeded: false, results: [undefined] });
    expect(await get("t1")).toBeDefined();
  });

  it("tells what a key was at an earlier revision, also before it was deleted, and nothing of later ones", async () => {
    const { revision: first } = await put("history", "1");
    const { revision: second } = await put("history", "2");
    const { revision: third } = await client().transact([], [{ type: "delete", key: key("history") }]);
    const at = async (revision: number) => (await client().get(key("history"), revision)).entry;
    expect(await at(first - 1)).toBeUndefined();
    expect(await at(first)).toMatchObject({ value: "1", modRevision: first });
    expect(await at(second)).toMatchObject({ value: "2", modRevision: second });
    expect(await at(third)).toBeUndefined();
    await expect(at(third + 100)).rejects.toMatchObject({ code: "future" });
  });

  it("tells in one transaction what keys were at several revisions, all of it or nothing", async () => {
    const { revision: first } = await put("then", "1");
    const { revision: second } = await put("then", "2");
    const { revision: third } = await client().transact([], [{ type: "delete", key: key("then") }]);
    const read = (...revisions: number[]) =>
      client().transact(
        [],
        revisions.map((atRevision) => ({ type: "get", key: key("then"), atRevision })),
      );
    const { results, revision } = await read(first - 1, first, second, third);
    expect(results.map((found) => found?.value)).toEqual([undefined, "1", "2", undefined]);
    expect(results[1]?.modRevision).toBe(first);
    expect(revision).toBe(third);
    await expect(read(first, third + 100)).rejects.toMatchObject({ code: "future" });
  });

  it("compares the lease and the create revision of a key, and fails both where there is none", async () => {
    const { lease } = await client().grantLease(60);
    const { revision } = await put("leased", "1", lease);
    await put("leased", "2", lease);
    const holds = async (compare: Parameters<Etcd["transact"]>[0][number]) =>
      (await client().transact([compare], [])).succeeded;
    expect(await holds({ key: key("leased"), target: "createRevision", equals: revision })).toBe(true);
    expect(await holds({ key: key("leased"), target: "modRevision", equals: revision })).toBe(false);
    expect(await holds({ key: key("leased"), target: "lease", equals: lease })).toBe(true);
    expect(await holds({ key: key("leased"), target: "value", equals: "2" })).toBe(true);
    expect(await holds({ key: key("absent"), target: "lease", equals: lease })).toBe(false);
    expect(await holds({ key: key("absent"), target: "createRevision", equals: revision })).toBe(false);
    expect(await holds({ key: key("absent"), target: "createRevision", equals: 0 })).toBe(true);
  });

  it("deletes all keys of a lease with it, but not one that was put under another since", async () => {
    const first = await client().grantLease(60);
    const second = await client().grantLease(60);
    await put("stays", "1", first.lease);
    await put("goes", "1", first.lease);
    await put("stays", "2", second.lease);
    await client().revokeLease(first.lease);
    await client().revokeLease(first.lease);
    expect(await get("goes")).toBeUndefined();
    expect(await get("stays")).toMatchObject({ value: "2", lease: second.lease });
    await expect(put("late", "1", first.lease)).rejects.toMatchObject({ code: "lease_not_found" });
  });

  it("tells the keys of a lease and what is left of it, and that there is none", async () => {
    const { lease } = await client().grantLease(60);
    await put("d1", "1", lease);
    await put("d2", "1", lease);
    const found = await client().describeLease(lease);
    expect(found?.ttlSeconds).toBe(60);
    expect(found?.remainingSeconds).toBeGreaterThan(50);
    expect([...(found?.keys ?? [])].toSorted()).toEqual([key("d1"), key("d2")]);
    await client().revokeLease(lease);
    expect(await client().describeLease(lease)).toBeUndefined();
  });

  it("takes 128 operations and 128 compares in one transaction, and not one more", async () => {
    const transact = (count: number) => {
      const keys = Array.from({ length: count }, (_, index) => key(`m${index}`));
      return client().transact(
        keys.map((each) => ({ key: each, target: "modRevision", equals: 0 })),
        keys.map((each) => ({ type: "put", key: each, value: "x" })),
        keys.map((each) => ({ type: "get", key: each })),
      );
    };
    await expect(transact(129)).rejects.toMatchObject({ code: "invalid" });
    await expect(transact(128)).resolves.toMatchObject({ succeeded: true });
    const again = await transact(128);
    expect(again.succeeded).toBe(false);
    expect(again.results.filter((found) => found !== undefined)).toHaveLength(128);
  });
});
