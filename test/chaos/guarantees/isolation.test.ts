import { expect, test } from "vitest";
import type { HistoryEvent } from "../history/event.ts";
import { BACKGROUND_FACTOR, BACKGROUND_SLACK, isolation, LOOKUPS_MIN } from "./isolation.ts";
import { etcdSample, phase, read, run } from "./story.ts";

const RATE_PER_SECOND = 2;
const SECONDS = 10;
const most = RATE_PER_SECOND * SECONDS * BACKGROUND_FACTOR + BACKGROUND_SLACK;

/** Two members: ten seconds without a lookup, ten with `lookups` of them, in which one member was asked so often. */
function history(requests: number, lookups = LOOKUPS_MIN, method = "Range"): readonly HistoryEvent[] {
  const idle = RATE_PER_SECOND * SECONDS;
  return [
    run(),
    phase(0, "idle"),
    phase(11_000, "lookups"),
    phase(22_000, "faults"),
    etcdSample(500, { Range: 40 }),
    etcdSample(10_500, { Range: 40 + idle }),
    etcdSample(11_500, { Range: 100, Txn: 3 }),
    etcdSample(21_500, { Range: 100, Txn: 3, [method]: (method === "Range" ? 100 : 3) + requests }),
    ...[500, 10_500, 11_500, 21_500].map((at) => etcdSample(at, { Range: 9 }, "etcd-1")),
    ...Array.from({ length: lookups }, (_, index) => read(12_000 + index * 50)),
  ];
}

test("requests that the background explains are none of the lookups'; one more is a violation", () => {
  expect(isolation.check(history(most))).toEqual([]);
  const [violation, ...others] = isolation.check(history(most + 1));
  expect(violation?.what).toContain(`etcd was asked Range ${most + 1} times in 10.0 s of ${LOOKUPS_MIN} lookups`);
  expect(violation?.events).toHaveLength(4);
  expect(others).toEqual([]);
});

test("what is never asked without lookups may be asked hardly ever with them", () => {
  expect(isolation.check(history(BACKGROUND_SLACK, LOOKUPS_MIN, "Txn"))).toEqual([]);
  expect(isolation.check(history(BACKGROUND_SLACK + 1, LOOKUPS_MIN, "Txn"))).toHaveLength(1);
});

test("too few lookups tell nothing, nor does a member that began anew", () => {
  expect(isolation.judged(history(most))).toBe(LOOKUPS_MIN);
  expect(isolation.judged(history(1000, LOOKUPS_MIN - 1))).toBe(0);
  const anew = history(1000).map((event) =>
    event.type === "etcd" && event.at === 21_500 ? { ...event, life: 2 } : event,
  );
  expect(isolation.judged(anew)).toBe(0);
});
