import { expect, test } from "vitest";
import { createLogTo, type LogLine } from "../../node/log.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { EtcdError } from "./port.ts";
import { createBreaker, type Permit } from "./breaker.ts";

const timedOut = new EtcdError("unavailable", "etcd Txn: 4 DEADLINE_EXCEEDED");

function setUp(random = () => 0.999) {
  const clock = createManualClock();
  const lines: LogLine[] = [];
  const log = createLogTo("test", (line) => lines.push(line));
  const breaker = createBreaker({ clock, random, log });
  const fail = (times: number) => {
    for (let time = 0; time < times; time++) breaker.enter().failed(timedOut);
  };
  return { clock, breaker, fail, lines };
}

test("after three failures one after the other calls fail at once, and say when to come back", async () => {
  const { breaker, fail, clock } = setUp();
  fail(2);
  expect(breaker.circuit()).toEqual({ type: "closed" });
  fail(1);
  expect(breaker.circuit()).toEqual({ type: "open", retryInMs: 500 });
  await clock.advance(100);
  expect(() => breaker.enter()).toThrow(
    expect.objectContaining({ code: "unavailable", retryInMs: expect.closeTo(399.5, 3) }),
  );
});

test("a crowd that fails together counts as one failure", () => {
  const { breaker } = setUp();
  const crowd = Array.from({ length: 1000 }, () => breaker.enter());
  for (const permit of crowd) permit.failed(timedOut);
  breaker.enter().failed(timedOut);
  expect(breaker.circuit().type).toBe("closed");
  breaker.enter().failed(timedOut);
  expect(breaker.circuit().type).toBe("open");
});

test("an answer between failures starts the count over", () => {
  const { breaker, fail } = setUp();
  fail(2);
  breaker.enter().succeeded();
  fail(2);
  expect(breaker.circuit().type).toBe("closed");
});

test("probes go one at a time, ever further apart and never more than four seconds", async () => {
  const { breaker, fail, clock } = setUp();
  fail(3);
  const probedAtMs: number[] = [];
  let refusedWhileProbing = 0;
  const tryEnter = (): Permit | undefined => {
    try {
      return breaker.enter();
    } catch {
      // The circuit is open, which is what is looked at here.
      return undefined;
    }
  };
  for (let elapsedMs = 0; elapsedMs < 60_000; elapsedMs += 10) {
    const probe = tryEnter();
    if (probe) {
      probedAtMs.push(elapsedMs);
      if (breaker.circuit().type === "probing" && tryEnter() === undefined) refusedWhileProbing++;
    }
    await clock.advance(10);
    probe?.failed(timedOut);
  }
  expect(refusedWhileProbing).toBe(probedAtMs.length);
  const gapsMs = probedAtMs.slice(1).map((atMs, index) => atMs - (probedAtMs[index] ?? 0));
  expect(gapsMs[0]).toBeLessThan(1100);
  expect(Math.max(...gapsMs)).toBeLessThanOrEqual(4020);
  expect(probedAtMs.length).toBeLessThan(20);
});

test("a probe that is answered closes the circuit, and the next failures are the first again", async () => {
  const { breaker, fail, clock } = setUp();
  fail(3);
  await clock.advance(500);
  breaker.enter().failed(timedOut);
  await clock.advance(1000);
  breaker.enter().succeeded();
  expect(breaker.circuit()).toEqual({ type: "closed" });
  fail(2);
  expect(breaker.circuit()).toEqual({ type: "closed" });
  fail(1);
  expect(breaker.circuit()).toEqual({ type: "open", retryInMs: 500 });
});

test("a late answer to a call from before it opened closes it; a late failure says nothing new", async () => {
  const { breaker, fail, clock } = setUp();
  const early = breaker.enter();
  const late = breaker.enter();
  fail(3);
  await clock.advance(500);
  const probe = breaker.enter();
  early.failed(timedOut);
  expect(breaker.circuit()).toEqual({ type: "probing" });
  late.succeeded();
  expect(breaker.circuit()).toEqual({ type: "closed" });
  probe.failed(timedOut);
  expect(breaker.circuit()).toEqual({ type: "closed" });
});

test("a probe that was not sent after all leaves its place to the next call", async () => {
  const { breaker, fail, clock } = setUp();
  fail(3);
  await clock.advance(500);
  breaker.enter().withdrawn();
  expect(() => breaker.enter()).not.toThrow();
  expect(() => breaker.enter()).toThrow("not sent");
});

test("what opened it is told in the log, and with every call that it keeps back", () => {
  const { breaker, fail, lines } = setUp();
  fail(2);
  const full = new EtcdError("unavailable", "etcd Txn: etcdserver: mvcc: database space exceeded");
  breaker.enter().failed(full);
  expect(JSON.stringify(lines)).toContain(full.message);
  expect(() => breaker.enter()).toThrow(expect.objectContaining({ cause: full }));
});
