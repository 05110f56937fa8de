import { expect, test } from "vitest";
import {
  authentication,
  CALLS_PER_FAULT,
  CALLS_PER_LIFE,
  CALLS_PER_WINDOW,
  QUIET_CALLS_MAX,
  TOKEN_TTL_MS,
} from "./authentication.ts";
import { settleMs } from "./trouble.ts";
import { etcdSample, fault, phase, run, sample, SETTINGS } from "./story.ts";

const counted = (at: number, calls: number, process = "agent-0") =>
  sample(process, at, { metrics: { fingerpost_etcd_authentications_total: calls } });

test("a registrar that authenticates more often than its life and its faults allow is a violation", () => {
  expect(authentication.check([run(), counted(1000, 1), counted(90_000, CALLS_PER_LIFE)])).toEqual([]);
  const last = counted(90_000, CALLS_PER_LIFE + 1);
  const [violation] = authentication.check([run(), counted(1000, 1), last]);
  expect(violation?.events).toEqual([last]);
  expect(violation?.what).toContain("agent-0 (life 1) had authenticated 3 times by 90.000 s");
});

test("a fault that can cost a token allows some more, for as long as it lasts, and another fault none", () => {
  const most = CALLS_PER_LIFE + CALLS_PER_FAULT + 10;
  const through = (name: string, target: string, calls: number) =>
    authentication.check([run(), counted(1000, 1), fault(name, target, 20_000, 30_000), counted(90_000, calls)]);
  for (const [name, target] of [
    ["etcd-leader-kill", "etcd-1"],
    ["etcd-tokens-expired", "agent"],
    ["registrar-etcd-cut", "agent-0>etcd"],
    ["agent-pause", "agent-0"],
  ] as const) {
    expect(through(name, target, most)).toEqual([]);
    expect(through(name, target, most + 1)).toHaveLength(1);
  }
  expect(through("redis-kill", "redis", CALLS_PER_LIFE + 1)).toHaveLength(1);
  expect(through("registrar-etcd-cut", "agent-1>etcd", CALLS_PER_LIFE + 1)).toHaveLength(1);
});

test("a fault of another life allows nothing", () => {
  const end = 30_000;
  const later = end + settleMs(SETTINGS) + 1;
  const kill = fault("etcd-leader-kill", "etcd-1", 20_000, end);
  expect(authentication.check([run(), kill, counted(later, CALLS_PER_LIFE + 1)])).toHaveLength(1);
  expect(authentication.check([run(), kill, counted(later - 1, CALLS_PER_LIFE + 1)])).toEqual([]);
});

test("a storm within ten seconds is a violation, whatever goes on", () => {
  const kill = fault("etcd-quorum-kill", "etcd-0 etcd-1", 0, 90_000);
  const calls = (rate: number) =>
    Array.from({ length: 40 }, (_, index) => counted(10_000 + index * 1000, index * rate));
  expect(authentication.check([run(), kill, ...calls(1)])).toEqual([]);
  const burst = [
    counted(10_000, 1),
    counted(15_000, 1),
    counted(16_000, 2 + CALLS_PER_WINDOW),
    counted(60_000, 2 + CALLS_PER_WINDOW),
  ];
  const [violation] = authentication.check([run(), kill, ...burst]);
  expect(violation?.what).toContain(`authenticated ${CALLS_PER_WINDOW + 1} times from 10.000 s to 16.000 s`);
});

test("etcd itself counts none while nothing is wrong, whoever might call", () => {
  const quiet = (calls: number) => [
    run(),
    phase(0, "idle"),
    phase(10_000, "lookups"),
    ...["etcd-0", "etcd-1"].flatMap((member) => [
      etcdSample(1000, { Authenticate: 7 }, member),
      etcdSample(9000, { Authenticate: 7 + (member === "etcd-0" ? calls : 0) }, member),
    ]),
  ];
  expect(authentication.check(quiet(QUIET_CALLS_MAX))).toEqual([]);
  expect(authentication.check(quiet(QUIET_CALLS_MAX + 1))).toHaveLength(1);
});

test("a storm that only etcd counts is a violation also while faults go on", () => {
  const most = CALLS_PER_WINDOW * (SETTINGS.agents + SETTINGS.publishers);
  const storm = (calls: number, life = 1) => [
    run(),
    phase(0, "faults"),
    etcdSample(1000, { Authenticate: 7 }, "etcd-0"),
    etcdSample(1500, { Authenticate: 7 }, "etcd-1"),
    etcdSample(5000, { Authenticate: 7 + most - 10 }, "etcd-0"),
    { ...etcdSample(5500, { Authenticate: 7 + calls - most + 10 }, "etcd-1"), life },
    etcdSample(30_000, { Authenticate: 7 + most - 10 }, "etcd-0"),
  ];
  expect(authentication.check(storm(most))).toEqual([]);
  const [violation, ...others] = authentication.check(storm(most + 1));
  expect(violation?.what).toContain(`authenticate ${most + 1} times from 1.000 s to 5.500 s`);
  expect(others).toEqual([]);
  // What a member was asked before its first sample came of a life is not known to be of these seconds.
  expect(authentication.check(storm(most + 1, 2))).toEqual([]);
});

test("a long life may move to a member that has forgotten its token, once in each time that it takes to forget", () => {
  const after = (livedMs: number, calls: number) =>
    authentication.check([run(), counted(1000, 1), counted(1000 + livedMs, calls)]);
  expect(after(TOKEN_TTL_MS, CALLS_PER_LIFE + 1)).toEqual([]);
  expect(after(TOKEN_TTL_MS - 1, CALLS_PER_LIFE + 1)).toHaveLength(1);
  expect(after(12 * TOKEN_TTL_MS, CALLS_PER_LIFE + 13)).toHaveLength(1);
});
