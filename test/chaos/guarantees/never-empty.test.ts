import { expect, test } from "vitest";
import { AFTER_STALL_MS, neverEmpty, STALL_MS_MAX } from "./never-empty.ts";
import { settleMs, TO_EDGE_MS } from "./trouble.ts";
import { crashed, failure, fault, phase, read, run, SETTINGS, unknown, up, write } from "./story.ts";

const registration = write("register", 100);
const start = [run(), up(0), registration];
const empty = { instances: {} };
const knownAt = 100 + TO_EDGE_MS;

test("an empty answer is a violation once the registration has had its time, and not a millisecond before", () => {
  expect(neverEmpty.check([...start, read(knownAt, empty)])).toEqual([]);
  const bad = read(knownAt + 1, empty);
  const [violation] = neverEmpty.check([...start, bad]);
  expect(violation?.events).toEqual([registration, bad]);
  expect(violation?.what).toContain("was told no instance of web at");
});

test("an isolate that has shown the instance may not lose it, also sooner", () => {
  const sight = read(1000);
  const bad = read(1011, empty);
  expect(neverEmpty.check([...start, sight, bad])[0]?.events).toEqual([registration, sight, bad]);
  expect(neverEmpty.check([...start, sight, read(1010, empty)])).toEqual([]);
  expect(neverEmpty.check([...start, sight, read(1011, { ...empty, life: 2 })])).toEqual([]);
});

test("what an isolate has shown, a client need not know, nor the other way round", () => {
  const client = { by: "client", reader: "sdk" } as const;
  expect(neverEmpty.check([...start, read(1000), read(1011, { ...empty, ...client })])).toEqual([]);
  expect(neverEmpty.check([...start, read(1000, client), read(1011, empty)])).toEqual([]);
  expect(neverEmpty.check([...start, read(1000, client), read(1011, { ...empty, ...client, life: 2 })])).toHaveLength(
    1,
  );
});

test("to have shown it as what it was registered as before is none", () => {
  const again = [...start, write("deregister", 8000), up(8100), write("register", 8200, { generation: 2 })];
  const gone = read(8400, empty);
  expect(neverEmpty.check([...again, read(8300), gone])).toEqual([]);
  const sight = read(8300, { instances: { "web-0": { status: "up", generation: 2 } } });
  expect(neverEmpty.check([...again, sight, gone])).toHaveLength(1);
});

test("only unhealthy ones are none, one that is suspect is one, and not found is none", () => {
  const told = (status: string) => read(9000, { instances: { "web-0": { status, generation: 1 } } });
  expect(neverEmpty.check([...start, told("suspect")])).toEqual([]);
  expect(neverEmpty.check([...start, told("down")])).toHaveLength(1);
  expect(neverEmpty.check([...start, told("draining")])).toHaveLength(1);
  expect(neverEmpty.check([...start, failure(9000, { status: 404 })])).toHaveLength(1);
  expect(neverEmpty.check([...start, failure(9000)])).toEqual([]);
});

test("another instance is as good as that one", () => {
  expect(neverEmpty.check([...start, read(9000, { instances: { other: { status: "up", generation: 1 } } })])).toEqual(
    [],
  );
});

test("whoever is drained, deregistered or dead is no witness, and is one again when it is back", () => {
  for (const end of [
    write("drain", 8000),
    write("deregister", 8000),
    unknown(write("deregister", 8000)),
    crashed(7990),
  ]) {
    expect(neverEmpty.check([...start, end, read(7995, empty)])).toEqual([]);
    expect(neverEmpty.check([...start, end, read(7970, empty)])).toHaveLength(1);
    const back = [...start, end, up(9000), write("register", 9100, { generation: 2 })];
    expect(neverEmpty.check([...back, read(9100 + TO_EDGE_MS, empty)])).toEqual([]);
    expect(neverEmpty.check([...back, read(9101 + TO_EDGE_MS, empty)])).toHaveLength(1);
  }
});

test("a registration that was refused, or that nobody answered, makes no witness", () => {
  const other = [run(), up(0), write("register", 100, { status: 400 }), unknown(write("register", 300))];
  expect(neverEmpty.check([...other, read(9000, empty)])).toEqual([]);
});

test("to register again, or elsewhere, ends no presence", () => {
  const moved = [write("register", 7000, { agent: "agent-1", generation: 2 }), unknown(write("register", 8000))];
  expect(neverEmpty.check([...start, ...moved, read(8100, empty)])).toHaveLength(1);
});

test("what was known before a fault must be known through it; what was registered in it, only when it is over", () => {
  const through = [...start, fault("redis-promotion", "replica", 6000, 30_000)];
  expect(neverEmpty.check([...through, read(7000, empty)])).toHaveLength(1);
  const within = [...start, fault("redis-promotion", "replica", 2000, 30_000)];
  const over = 30_000 + settleMs(SETTINGS) + TO_EDGE_MS;
  expect(neverEmpty.check([...within, read(over, empty)])).toEqual([]);
  expect(neverEmpty.check([...within, read(over + 1, empty)])).toHaveLength(1);
});

test("a fault of an agent or of another resolver excuses nobody here", () => {
  for (const target of ["agent-0", "agent-0>etcd", "worker", "worker>gateway"]) {
    const beside = [...start, read(50, { resolver: "worker" }), fault("kill", target, 200, 30_000)];
    expect(neverEmpty.check([...beside, read(knownAt + 1, empty)])).toHaveLength(1);
  }
  expect(neverEmpty.check([...start, fault("kill", "node>gateway", 200, 30_000), read(9000, empty)])).toEqual([]);
  expect(neverEmpty.check([...start, fault("slow", "*>gateway", 200, 30_000), read(9000, empty)])).toEqual([]);
});

test("while the fleet warms up nothing need be known", () => {
  const warm = [run(), phase(0, "warm-up"), phase(10_000, "idle"), up(0), registration];
  expect(neverEmpty.check([...warm, read(10_000 + TO_EDGE_MS, empty)])).toEqual([]);
  expect(neverEmpty.check([...warm, read(10_001 + TO_EDGE_MS, empty)])).toHaveLength(1);
});

test("after a standstill of the recorder heartbeats may have been missed", () => {
  const stall = { type: "stall", from: 8000, to: 8000 + STALL_MS_MAX } as const;
  expect(neverEmpty.check([...start, stall, read(stall.to + AFTER_STALL_MS, empty)])).toEqual([]);
  expect(neverEmpty.check([...start, stall, read(stall.to + AFTER_STALL_MS + 1, empty)])).toHaveLength(1);
  expect(neverEmpty.check([...start, { ...stall, to: stall.to - 1 }, read(9000, empty)])).toHaveLength(1);
});

test("an event of a stream is judged by time alone: it may have been sent before what was seen since", () => {
  const event = { ...empty, by: "stream", reader: "stream" } as const;
  expect(neverEmpty.check([...start, read(1000), read(1011, { ...event, to: 1011 })])).toEqual([]);
  expect(neverEmpty.check([...start, read(9000, { ...event, to: 9000 })])).toHaveLength(1);
});
