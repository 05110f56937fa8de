import { expect, test } from "vitest";
import { AGE_SLACK_MS, CLIENT_SLACK_MS, honestAge } from "./honest-age.ts";
import { LIFE_EDGE_MS, TO_EDGE_MS } from "./trouble.ts";
import { crashed, fault, life, read, run, SETTINGS, unknown, up, write } from "./story.ts";

const start = [run(), up(0), write("register", 100)];
const of = (generation: number, status = "up") => ({ instances: { "web-0": { status, generation } } });
/** The first moment at which something done at `at` must be in an answer of this age. */
const due = (at: number, ageMs: number, slackMs = AGE_SLACK_MS) => at + ageMs + slackMs + 1;

test("a change must be in an answer that is younger than it, and one a millisecond older need not have it", () => {
  const changed = write("register", 5000, { generation: 2 });
  const early = read(due(5000, 700) - 1, { ageMs: 700, ...of(1) });
  const late = read(due(5000, 700), { ageMs: 700, ...of(1) });
  expect(honestAge.check([...start, changed, early])).toEqual([]);
  const [violation, ...others] = honestAge.check([...start, changed, late]);
  expect(violation?.events).toEqual([changed, late]);
  expect(violation?.what).toContain("web-0 of web with generation 1, and not 2 or later");
  expect(others).toEqual([]);
  expect(honestAge.check([...start, changed, { ...late, ...of(2) }])).toEqual([]);
  expect(honestAge.check([...start, changed, { ...late, ...of(3) }])).toEqual([]);
});

test("a change whose outcome nobody knows, or that was refused, need not be in any answer", () => {
  const changed = write("register", 5000, { generation: 2 });
  for (const other of [unknown(changed), { ...changed, status: 429 }]) {
    expect(honestAge.check([...start, other, read(9000, of(1))])).toEqual([]);
  }
});

test("what was deregistered before the answer was true is not in it", () => {
  const gone = write("deregister", 5000);
  expect(honestAge.check([...start, gone, read(due(5000, 500) - 1)])).toEqual([]);
  expect(honestAge.check([...start, gone, read(due(5000, 500))])).toHaveLength(1);
  expect(honestAge.check([...start, gone, unknown(write("register", 5100)), read(due(5000, 500))])).toEqual([]);
});

test("what the guard holds may be older, and what an agent has forgotten it could not remove", () => {
  const gone = write("deregister", 5000);
  expect(honestAge.check([...start, gone, read(9000, of(1, "suspect"))])).toEqual([]);
  const full = fault("agent-disk-full", "agent-0", 200, 300);
  expect(honestAge.check([...start, full, gone, read(9000)])).toEqual([]);
});

test("what was registered is there when all was well since, and nothing else may have taken it away", () => {
  const at = due(100 + TO_EDGE_MS, 500);
  const none = { instances: {} };
  expect(honestAge.check([...start, read(at - 1, none)])).toEqual([]);
  expect(honestAge.check([...start, read(at, none)])).toHaveLength(1);
  expect(honestAge.check([...start, crashed(3000), read(at, none)])).toEqual([]);
  expect(honestAge.check([...start, fault("agent-kill", "agent-0", 3000, 4000), read(at, none)])).toEqual([]);
});

test("a client may be behind by as long as it waits for an answer", () => {
  const changed = write("register", 5000, { generation: 2 });
  const client = { by: "client", reader: "sdk", ...of(1) } as const;
  expect(honestAge.check([...start, changed, read(due(5000, 500, CLIENT_SLACK_MS) - 1, client)])).toEqual([]);
  expect(honestAge.check([...start, changed, read(due(5000, 500, CLIENT_SLACK_MS), client)])).toHaveLength(1);
});

test("an answer past its freshness says so, and so does last-known-good", () => {
  const old = { ageMs: SETTINGS.staleAfterMs + 1 };
  expect(honestAge.check([...start, read(500, { ageMs: SETTINGS.staleAfterMs })])).toEqual([]);
  expect(honestAge.check([...start, read(500, old)])).toHaveLength(1);
  expect(honestAge.check([...start, read(500, { ...old, stale: true })])).toEqual([]);
  expect(honestAge.check([...start, read(500, { source: "last-known-good" })])).toHaveLength(1);
  expect(honestAge.check([...start, read(500, { source: "last-known-good", stale: true })])).toEqual([]);
});

test("answers age while no publisher, no quorum of etcd, or no gateway is there", () => {
  const lives = (name: string) => [life(name, 0, "started"), life(name, 50, "ready")];
  const gone = (name: string) => [...lives(name), life(name, 5000, "killed"), life(name, 30_000, "started", 2)];
  const least = 20_000 - 5000 - LIFE_EDGE_MS - AGE_SLACK_MS;
  const young = read(20_000, { ageMs: least - 1, stale: true });
  const old = read(20_000, { ageMs: least, stale: true });
  const etcd = (count: number) =>
    ["etcd-0", "etcd-1", "etcd-2"].flatMap((name, index) => (index < count ? gone : lives)(name));
  for (const outage of [[...gone("publisher-0"), ...gone("publisher-1")], etcd(2), gone("gateway")]) {
    const [violation] = honestAge.check([...start, ...outage, young]);
    expect(violation?.what).toContain("had been gone since 5.000 s");
    expect(violation?.events.at(-1)).toBe(young);
    expect(honestAge.check([...start, ...outage, old])).toEqual([]);
    // It may have been asked when that had come back.
    expect(honestAge.check([...start, ...outage, read(30_000 - LIFE_EDGE_MS, { ageMs: 0 })])).toEqual([]);
  }
  for (const partly of [[...gone("publisher-0"), ...lives("publisher-1")], etcd(1), gone("node")]) {
    expect(honestAge.check([...start, ...partly, young])).toEqual([]);
  }
});

test("a paused publisher is none", () => {
  const paused = ["publisher-0"].flatMap((name) => [life(name, 50, "started"), life(name, 5000, "paused")]);
  expect(honestAge.check([...start, ...paused, read(20_000)])).toHaveLength(1);
  expect(honestAge.check([...start, ...paused, life("publisher-0", 15_000, "resumed"), read(20_000)])).toEqual([]);
});

test("while a resolver's clock is off its ages are only as good as its own", () => {
  const changed = write("register", 5000, { generation: 2 });
  const bad = read(due(5000, 500), of(1));
  expect(honestAge.check([...start, changed, fault("clock-jump", "node", 4000, 5500), bad])).toEqual([]);
  expect(honestAge.check([...start, changed, fault("clock-jump", "worker", 4000, 5500), bad])).toHaveLength(1);
  expect(honestAge.check([...start, changed, fault("clock-jump", "node", 1000, 2000), bad])).toHaveLength(1);
});
