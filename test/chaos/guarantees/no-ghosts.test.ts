import { expect, test } from "vitest";
import type { HistoryEvent } from "../history/event.ts";
import { CLIENT_PAUSE_MS, crashMs, heldMs, leaseEndMs, noGhosts, WRITE_MS_MAX } from "./no-ghosts.ts";
import { settleMs, TO_EDGE_MS } from "./trouble.ts";
import { crashed, fault, phase, read, run, SETTINGS, state, unknown, up, write } from "./story.ts";

const start = [run(), up(0), write("register", 100)];
const deregistered = write("deregister", 1000);
const as = (status: string) => ({ instances: { "web-0": { status, generation: 1 } } });

test("what was deregistered is gone within its time, and not a millisecond later", () => {
  const bad = read(1001 + TO_EDGE_MS);
  expect(noGhosts.check([...start, deregistered, read(1000 + TO_EDGE_MS)])).toEqual([]);
  const [violation, ...others] = noGhosts.check([...start, deregistered, bad]);
  expect(violation?.events).toEqual([deregistered, bad]);
  expect(violation?.what).toContain("was told of web-0 of web as up at 6.011 s; it was deregistered at 1.000 s");
  expect(others).toEqual([]);
  expect(noGhosts.check([...start, deregistered, read(1001 + TO_EDGE_MS, { instances: {} })])).toEqual([]);
});

test("a deregistration that was refused, or that nobody answered, promises nothing", () => {
  expect(noGhosts.check([...start, { ...deregistered, status: 409 }, read(60_000)])).toEqual([]);
  expect(noGhosts.check([...start, unknown(deregistered), read(60_000)])).toEqual([]);
});

test("whoever tries to have it back, whatever comes of it, ends the wait", () => {
  const back = write("register", 20_000, { generation: 2 });
  for (const again of [back, unknown(back)]) {
    expect(noGhosts.check([...start, deregistered, again, read(30_000)])).toEqual([]);
    // The registration begins at 19,990: an answer that ends then may have it.
    expect(noGhosts.check([...start, deregistered, again, read(19_980)])).toEqual([]);
    expect(noGhosts.check([...start, deregistered, again, read(19_979)])).toHaveLength(1);
  }
});

test("time counts only from when the parts were whole again, without a break", () => {
  const cut = [...start, fault("etcd-quorum-kill", "etcd-0 etcd-1", 900, 20_000), deregistered];
  const bound = 20_000 + settleMs(SETTINGS) + TO_EDGE_MS;
  expect(noGhosts.check([...cut, read(bound)])).toEqual([]);
  expect(noGhosts.check([...cut, read(bound + 1)])).toHaveLength(1);
  const again = [...cut, fault("redis-pause", "redis", bound - 1, bound + 1000)];
  expect(noGhosts.check([...again, read(bound + 1)])).toEqual([]);
  expect(noGhosts.check([...start, deregistered, fault("kill", "agent-0", 1500, 90_000), read(9000)])).toHaveLength(1);
});

test("one that is held may be there as suspect for as long as probes take, and no longer", () => {
  const bound = 1000 + TO_EDGE_MS + heldMs(SETTINGS);
  expect(noGhosts.check([...start, deregistered, read(bound, as("suspect"))])).toEqual([]);
  expect(noGhosts.check([...start, deregistered, read(bound + 1, as("suspect"))])).toHaveLength(1);
});

test("an agent whose disk was full has forgotten it: the end of its lease is waited for", () => {
  const full = [...start, fault("agent-disk-full", "agent-0", 200, 300), deregistered];
  const bound = 1000 + TO_EDGE_MS + leaseEndMs(SETTINGS);
  expect(noGhosts.check([...full, read(bound)])).toEqual([]);
  expect(noGhosts.check([...full, read(bound + 1)])).toHaveLength(1);
  const other = [...start, fault("agent-disk-full", "agent-1", 200, 300), deregistered];
  expect(noGhosts.check([...other, read(bound)])).toHaveLength(1);
});

test("what crashed is gone within the time of its lease, and of a hold", () => {
  const crash = crashed(1000);
  const bound = 1000 + crashMs(SETTINGS);
  expect(noGhosts.check([...start, crash, read(bound)])).toEqual([]);
  expect(noGhosts.check([...start, crash, read(bound + 1)])[0]?.events).toEqual([crash, read(bound + 1)]);
  expect(noGhosts.check([...start, crash, read(bound + 1, as("down"))])).toEqual([]);
  expect(noGhosts.check([...start, crash, read(bound + heldMs(SETTINGS), as("suspect"))])).toEqual([]);
  expect(noGhosts.check([...start, crash, read(bound + heldMs(SETTINGS) + 1, as("suspect"))])).toHaveLength(1);
  expect(noGhosts.check([...start, crash, up(5000), read(bound + 1)])).toEqual([]);
});

test("a fault of an agent does delay the end of what crashed there", () => {
  const broken = [...start, fault("agent-kill", "agent-0", 900, 20_000), crashed(1000)];
  const bound = 20_000 + settleMs(SETTINGS) + crashMs(SETTINGS);
  expect(noGhosts.check([...broken, read(bound)])).toEqual([]);
  expect(noGhosts.check([...broken, read(bound + 1)])).toHaveLength(1);
});

test("a client whose process stood still tells what it held, for as long as it asks nobody", () => {
  const client = { by: "client", reader: "sdk", stale: true } as const;
  const stall = { type: "stall", from: 7000, to: 8000 } as const;
  expect(noGhosts.check([...start, deregistered, stall, read(8000 + CLIENT_PAUSE_MS, client)])).toEqual([]);
  expect(noGhosts.check([...start, deregistered, stall, read(8001 + CLIENT_PAUSE_MS, client)])).toHaveLength(1);
  expect(noGhosts.check([...start, deregistered, stall, read(7500)])).toHaveLength(1);
});

test("once all have agreed after the faults, the parts are whole", () => {
  const faulty = [...start, fault("etcd-quorum-kill", "etcd-0 etcd-1", 900, 20_000), deregistered];
  const healed = [...faulty, phase(20_000, "healed"), phase(22_000, "idle"), phase(60_000, "end")];
  expect(noGhosts.check([...healed, read(22_000 + TO_EDGE_MS)])).toEqual([]);
  expect(noGhosts.check([...healed, read(22_001 + TO_EDGE_MS)])).toHaveLength(1);
});

test("an answer without it is counted as judged from when on it may not be up any more", () => {
  const gone = { instances: {} };
  expect(noGhosts.judged([...start, deregistered, read(1000 + TO_EDGE_MS, gone)])).toBe(0);
  expect(noGhosts.judged([...start, deregistered, read(1001 + TO_EDGE_MS, gone)])).toBe(1);
});

test("what nobody had any more when all were asked does not come back, in whatever state", () => {
  const crash = crashed(1000);
  const lookedAt = 1001 + WRITE_MS_MAX;
  const holders = ["etcd", "redis", "node"];
  const looked = (at: number, having?: string) =>
    holders.map((of) => state(of, at, of === having ? { web: '[{"id":"web-0"}]' } : { web: '[{"id":"web-01"}]' }));
  const ghost = (at: number, ...states: readonly HistoryEvent[]) =>
    noGhosts.check([...start, crash, ...states, read(at, as("suspect"))]);
  expect(ghost(lookedAt + TO_EDGE_MS + 1, ...looked(lookedAt))).toHaveLength(1);
  expect(ghost(lookedAt + TO_EDGE_MS, ...looked(lookedAt))).toEqual([]);
  expect(ghost(lookedAt + TO_EDGE_MS + 1, ...looked(lookedAt, "node"))).toEqual([]);
  // A registration that was under way may have come after it.
  expect(ghost(lookedAt + TO_EDGE_MS + 1, ...looked(lookedAt - 1))).toEqual([]);
  expect(ghost(lookedAt + TO_EDGE_MS + 1, ...looked(lookedAt), up(lookedAt + 10))).toEqual([]);
});
