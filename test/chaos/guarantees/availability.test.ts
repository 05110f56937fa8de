import { expect, test } from "vitest";
import { availability, LATENCY_SLACK_MS, TYPICAL_MIN } from "./availability.ts";
import { LIFE_EDGE_MS } from "./trouble.ts";
import { crashed, failure, life, phase, read, run, SETTINGS, up, write } from "./story.ts";

const mostMs = SETTINGS.budgetMs + LATENCY_SLACK_MS;
const start = [run(), life("node", 0, "started"), life("node", 50, "ready"), up(0), write("register", 100)];
const good = read(1000);

test("a lookup that fails after an answer of the same life is a violation, shown by the two", () => {
  const bad = failure(2000);
  const [violation, ...others] = availability.check([...start, good, bad]);
  expect(violation?.events).toEqual([good, bad]);
  expect(violation?.what).toMatch(/node \(life 1\) was answered nothing is known about web at 2\.010 s/);
  expect(others).toEqual([]);
});

test("what failed before the first answer, or overlapped it, is none", () => {
  expect(availability.check([...start, failure(900), good])).toEqual([]);
  expect(availability.check([...start, good, failure(good.to)])).toEqual([]);
  expect(availability.check([...start, good, failure(good.to + 1)])).toHaveLength(1);
});

test("a life that has not answered yet may know nothing; a client holds what it had over all lives", () => {
  expect(availability.check([...start, good, failure(5000, { life: 2 })])).toEqual([]);
  const client = { by: "client", reader: "sdk" } as const;
  expect(availability.check([...start, read(1000, client), failure(5000, { ...client, life: 2 })])).toHaveLength(1);
});

test("a resolver that is gone or paused may fail, up to the edge of what is known of that, and a client may not", () => {
  const gone = [life("node", 3000, "killed"), life("node", 4000, "started", 2), life("node", 4200, "ready", 2)];
  const paused = [life("node", 3000, "paused"), life("node", 4200, "resumed")];
  for (const away of [gone, paused]) {
    expect(availability.check([...start, good, ...away, failure(3500)])).toEqual([]);
    expect(availability.check([...start, good, ...away, failure(4200 + LIFE_EDGE_MS)])).toEqual([]);
    expect(availability.check([...start, good, ...away, failure(4200 + LIFE_EDGE_MS + 1)])).toHaveLength(1);
  }
  const client = { by: "client", reader: "sdk" } as const;
  expect(availability.check([...start, read(1000, client), ...gone, failure(3500, client)])).toHaveLength(1);
});

test("an answer in its budget and the slack is in time, one a millisecond later is not", () => {
  expect(availability.check([...start, good, read(2000, { to: 2000 + mostMs })])).toEqual([]);
  expect(availability.check([...start, good, read(2000, { to: 2001 + mostMs })])).toHaveLength(1);
});

test("time that the recorder stood still, or the resolver was paused, does not count", () => {
  const late = read(2000, { to: 2000 + mostMs + 700 });
  const stall = { type: "stall", from: 2100, to: 2800 } as const;
  expect(availability.check([...start, good, stall, late])).toEqual([]);
  expect(availability.check([...start, good, { ...stall, to: 2799 }, late])).toHaveLength(1);
  const pause = [life("node", 2100, "paused"), life("node", 2800, "resumed")];
  expect(availability.check([...start, good, ...pause, late])).toEqual([]);
});

test("a service that has ended, or whose only instance has crashed, may fail", () => {
  expect(availability.check([...start, good, write("deregister", 1500), failure(2000)])).toEqual([]);
  expect(availability.check([...start, good, crashed(1500), failure(2000)])).toEqual([]);
  const back = [write("deregister", 1500), up(1600), write("register", 1700, { generation: 2 })];
  expect(availability.check([...start, good, ...back, failure(2000)])).toEqual([]);
  expect(availability.check([...start, good, ...back, read(1800), failure(2000)])).toHaveLength(1);
});

test("it says how many lookups it could judge", () => {
  expect(availability.judged([...start, good, read(2000), failure(3000)])).toBe(2);
  expect(availability.judged([...start, failure(900)])).toBe(0);
});

test("a long poll fails like any other lookup, and takes as long as it waits", () => {
  const poll = { by: "poll" } as const;
  expect(availability.check([...start, good, failure(2000, poll)])).toHaveLength(1);
  expect(availability.check([...start, good, read(2000, { ...poll, to: 5000 })])).toEqual([]);
  const gone = life("node", 3000, "killed");
  expect(availability.check([...start, good, gone, failure(2000, { ...poll, to: 3000 })])).toEqual([]);
});

test("half of the lookups of a phase are answered within the budget", () => {
  const lookups = (tookMs: number, name: "faults" | "warm-up" = "faults", count = TYPICAL_MIN) => [
    ...start,
    phase(900, name),
    ...Array.from({ length: count }, (_, index) =>
      read(1000 + index * 1000, { to: 1000 + index * 1000 + (index % 2 || index === 0 ? tookMs : 10) }),
    ),
  ];
  expect(availability.check(lookups(SETTINGS.budgetMs))).toEqual([]);
  const [violation, ...others] = availability.check(lookups(SETTINGS.budgetMs + 1));
  expect(violation?.what).toContain(`Half of ${TYPICAL_MIN} lookups at node`);
  expect(others).toEqual([]);
  expect(availability.check(lookups(SETTINGS.budgetMs + 1, "warm-up"))).toEqual([]);
  expect(availability.check(lookups(SETTINGS.budgetMs + 1, "faults", TYPICAL_MIN - 1))).toEqual([]);
});
