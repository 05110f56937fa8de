import { afterAll, beforeAll, expect, test } from "vitest";
import { randomBytes } from "node:crypto";
import { createElection } from "../../registrar/etcd/election.ts";
import { readOrCreateIdentity } from "../../registrar/etcd/identity.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { CLUSTER_KEY, ELECTION_KEY } from "../../contract/etcd-keys.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { connect, parts } from "./fixture.ts";

const TTL_SECONDS = 2;
const never = new AbortController().signal;

let server: Awaited<ReturnType<typeof startTestEtcd>>;
let etcd: Etcd;

beforeAll(async () => {
  server = await startTestEtcd();
  etcd = connect(server.endpoint, server.user);
});
afterAll(async () => {
  await etcd?.close();
  await server?.close();
});

function candidate(identity: string) {
  const leases = createLeaseKeeper({ etcd, ...parts });
  const election = createElection({ etcd, leases, ...parts, identity, ttlSeconds: TTL_SECONDS });
  return { leases, election };
}

test("of three candidates one leads at a time, and each term has a greater revision than the last", async () => {
  const candidates = ["a", "b", "c"].map(candidate);
  const revisions: number[] = [];
  let leading = 0;
  await Promise.all(
    candidates.map(async ({ election, leases }) => {
      const term = await election.campaign(never);
      expect(++leading).toBe(1);
      expect(await term.verify()).toBe(true);
      expect(term.lost.aborted).toBe(false);
      revisions.push(term.revision);
      leading--;
      await term.resign();
      expect(term.lost.aborted).toBe(true);
      await leases.close();
    }),
  );
  expect(revisions).toHaveLength(3);
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  expect((await etcd.get(ELECTION_KEY)).entry).toBeUndefined();
});

test("a leader that loses its key is told, and the next one leads at once when it sees the deletion", async () => {
  const first = candidate("first");
  const second = candidate("second");
  const term = await first.election.campaign(never);
  const next = second.election.campaign(never);
  const { entry } = await etcd.get(ELECTION_KEY);
  expect(entry?.value).toBe("first");
  await etcd.revokeLease(entry?.lease ?? "");
  second.election.keyDeleted();
  const nextTerm = await next;
  expect(await term.verify()).toBe(false);
  expect(term.lost.aborted).toBe(true);
  expect(nextTerm.revision).toBeGreaterThan(term.revision);

  const held = (await etcd.get(ELECTION_KEY)).entry;
  await etcd.revokeLease(held?.lease ?? "");
  await until("the term is lost by its lease alone", () => nextTerm.lost.aborted);
  expect(await nextTerm.verify()).toBe(false);
  await Promise.all([first.leases.close(), second.leases.close()]);
});

test("a leader keeps leading past its TTL; when it dies, the next one leads by itself", async () => {
  const first = candidate("first");
  const second = candidate("second");
  const term = await first.election.campaign(never);
  const sinceMs = performance.now();
  const next = second.election.campaign(never);
  await until("two TTLs have passed", () => performance.now() - sinceMs > 2 * TTL_SECONDS * 1000);
  expect(await term.verify()).toBe(true);
  // As if the process had died: its leases are not renewed any more, and nothing is revoked.
  await first.leases.close();
  const nextTerm = await next;
  expect(nextTerm.revision).toBeGreaterThan(term.revision);
  await nextTerm.resign();
  await second.leases.close();
});

test("a campaign ends when it is aborted, and leaves nothing behind", async () => {
  const first = candidate("first");
  const second = candidate("second");
  const term = await first.election.campaign(never);
  const abort = new AbortController();
  const waiting = second.election.campaign(abort.signal);
  abort.abort(new Error("closing"));
  await expect(waiting).rejects.toThrow("closing");
  await term.resign();
  expect((await etcd.get(ELECTION_KEY)).entry).toBeUndefined();
  expect(second.leases.size()).toBe(0);
  await Promise.all([first.leases.close(), second.leases.close()]);
});

test("however many come first, an etcd gets one identity and keeps it", async () => {
  const identities = await Promise.all(Array.from({ length: 20 }, () => readOrCreateIdentity(etcd, randomBytes)));
  expect(new Set(identities).size).toBe(1);
  expect(identities[0]).toMatch(/^[0-9a-f]{32}$/);
  expect((await etcd.get(CLUSTER_KEY)).entry?.value).toBe(identities[0]);
});
