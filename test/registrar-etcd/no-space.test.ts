import { expect, it } from "vitest";
import { startBareEtcd } from "../support/etcd.ts";
import { parts, put } from "./fixture.ts";
import { toCallerError } from "../../registrar/agent/caller-errors.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";

const QUOTA_BYTES = 1024 * 1024;
const VALUE = "x".repeat(256 * 1024);
/** etcd measures its database when it commits a batch, every 100 ms: a fast disk takes far more than the quota until then. */
const WRITES_MAX = 1_000;

it("an etcd that is full says so, and keeps its renewals: no other member would take a write either", async ({
  onTestFinished,
}) => {
  const server = await startBareEtcd({ extraArgs: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
  onTestFinished(() => server.close());
  // One server under two names, as two members would be.
  const endpoints = [server.endpoint, server.endpoint.replace("127.0.0.1", "localhost")];
  const etcd = createEtcd({ endpoints, ...parts });
  onTestFinished(() => etcd.close());
  const { lease } = await etcd.grantLease(60);
  const ends: unknown[] = [];
  const renewed = Promise.withResolvers<number>();
  const stream = etcd.openRenewals({
    onRenewal: ({ ttlSeconds }) => renewed.resolve(ttlSeconds),
    onEnd: (error) => ends.push(error),
  });

  const fill = async () => {
    for (let write = 0; write < WRITES_MAX; write++) await etcd.transact([], [put(`/filler/${write}`, VALUE)]);
  };
  await expect(fill()).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("database space exceeded"),
  });
  // What its callers are told, also of the calls that are not sent any more.
  for (let write = 0; write < 4; write++) {
    const told = await etcd.transact([], [put("/filler/again")]).catch(toCallerError);
    expect(told).toMatchObject({ code: "unavailable", message: expect.stringContaining("etcd is full") });
  }
  expect(etcd.circuit().type).toBe("open");
  stream.renew(lease);
  expect(await renewed.promise).toBe(60);
  expect(ends).toEqual([]);
});
