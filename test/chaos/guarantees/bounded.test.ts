import { expect, test } from "vitest";
import type { HistoryEvent } from "../history/event.ts";
import {
  bounded,
  FAULTS_LOG_BYTES_PER_SECOND,
  HANDLES_FACTOR,
  HANDLES_SLACK,
  LEASES_EACH,
  QUIET_LOG_BYTES_PER_SECOND,
  RSS_FACTOR,
  RSS_SLACK_MB,
} from "./bounded.ts";
import { etcdSample, phase, run, sample, SETTINGS } from "./story.ts";

const phases: readonly HistoryEvent[] = [
  run(),
  phase(0, "warm-up"),
  phase(10_000, "idle"),
  phase(15_000, "lookups"),
  phase(20_000, "faults"),
  phase(60_000, "healed"),
  phase(70_000, "idle"),
  phase(75_000, "lookups"),
  phase(80_000, "end"),
];

test("what is above its bound all the time after the faults is a violation, shown by two samples", () => {
  const before = [sample("node", 11_000, { rssMb: 90 }), sample("node", 16_000)];
  const rssMb = 100 * RSS_FACTOR + RSS_SLACK_MB;
  const after = [sample("node", 71_000, { rssMb: rssMb + 1 }), sample("node", 76_000, { rssMb: rssMb + 2 })];
  const [violation, ...others] = bounded.check([...phases, ...before, ...after]);
  expect(violation?.events).toEqual([before[1], after[0]]);
  expect(violation?.what).toBe(
    "node has 190 MB of memory at 71.000 s and had 100 at 16.000 s, before the faults; at most 189 are allowed.",
  );
  expect(others).toEqual([]);
  const back = sample("node", 77_000, { rssMb, life: 2 });
  expect(bounded.check([...phases, ...before, ...after, back])).toEqual([]);
});

test("a peak in the faults is none", () => {
  const peak = [sample("node", 16_000), sample("node", 30_000, { rssMb: 4000, handles: 9000 }), sample("node", 76_000)];
  expect(bounded.check([...phases, ...peak])).toEqual([]);
});

test("handles, sockets, leases and streams return, too", () => {
  const most = 40 * HANDLES_FACTOR + HANDLES_SLACK;
  const held = (changed: Partial<Parameters<typeof sample>[2]> = {}) => [
    ...phases,
    sample("agent-0", 16_000, { metrics: { fingerpost_leases: 3, fingerpost_lease_streams: 1 } }),
    sample("agent-0", 76_000, changed),
  ];
  expect(bounded.check(held({ handles: most }))).toEqual([]);
  expect(bounded.check(held({ handles: most + 1 }))).toHaveLength(1);
  expect(bounded.check(held({ sockets: 20 * HANDLES_FACTOR + HANDLES_SLACK + 1 }))).toHaveLength(1);
  expect(bounded.check(held({ metrics: { fingerpost_leases: 3 + LEASES_EACH, fingerpost_lease_streams: 2 } }))).toEqual(
    [],
  );
  expect(
    bounded.check(held({ metrics: { fingerpost_leases: 4 + LEASES_EACH, fingerpost_lease_streams: 3 } })),
  ).toHaveLength(2);
});

test("etcd's leases return to what registrars have", () => {
  const most = 5 + LEASES_EACH * (SETTINGS.agents + SETTINGS.publishers);
  const leases = (count: number) => [
    { ...etcdSample(16_000, {}), leases: 5 },
    { ...etcdSample(76_000, {}), leases: count },
  ];
  expect(bounded.check([...phases, ...leases(most)])).toEqual([]);
  expect(bounded.check([...phases, ...leases(most + 1)])).toHaveLength(1);
});

test("a log grows slowly while nothing is wrong, and not without a bound while everything is", () => {
  const logging = (process: string, from: number, bytesPerSecond: number) => [
    sample(process, from, { logBytes: 500 }),
    sample(process, from + 4000, { logBytes: 500 + 4 * bytesPerSecond }),
  ];
  expect(bounded.check([...phases, ...logging("node", 15_500, QUIET_LOG_BYTES_PER_SECOND)])).toEqual([]);
  expect(bounded.check([...phases, ...logging("node", 15_500, QUIET_LOG_BYTES_PER_SECOND + 1)])).toHaveLength(1);
  expect(bounded.check([...phases, ...logging("node", 25_000, FAULTS_LOG_BYTES_PER_SECOND)])).toEqual([]);
  expect(bounded.check([...phases, ...logging("node", 25_000, FAULTS_LOG_BYTES_PER_SECOND + 1)])).toHaveLength(1);
  expect(bounded.check([...phases, ...logging("redis", 15_500, 1_000_000)])).toEqual([]);
});

test("a run that ended before its faults were over has nothing to return to", () => {
  expect(bounded.judged([...phases.slice(0, 5), sample("node", 16_000)])).toBe(0);
});
