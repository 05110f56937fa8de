import { describe, expect, it } from "vitest";
import { checkSchema, type Check } from "../../../contract/check.ts";
import * as v from "valibot";
import { createManualClock } from "../../../test/support/clock.ts";
import { createChecks, type ChecksOptions } from "./checks.ts";
import { judgementOf } from "./judgement.ts";
import { failed, passed, type CheckOutcome } from "./outcome.ts";

const SEED = 20_261_121;
const target = { address: "10.0.0.1", port: 80, protocol: "http" };

function tcp(fields: Readonly<Record<string, unknown>> = {}): Check {
  return v.parse(checkSchema, { type: "tcp", ...fields });
}

/** Park and Miller's generator: the same numbers in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

function setUp(options: Partial<ChecksOptions> = {}) {
  const manual = createManualClock();
  // The timers fire late and only once after a stop, as they do in a process that gets SIGCONT.
  const stopped = { ms: 0 };
  const clock = { ...manual, monotonic: () => manual.monotonic() + stopped.ms };
  const pauses: number[] = [];
  const results: string[] = [];
  const began: { readonly port: number; readonly atMs: number }[] = [];
  const underWay = new Map<number, (outcome: CheckOutcome) => void>();
  const overlaps: number[] = [];
  let most = 0;
  const state = { outcome: passed as CheckOutcome | undefined };
  const checks = createChecks({
    clock,
    random: seeded(SEED),
    async probe({ port }, _check, signal) {
      began.push({ port, atMs: clock.monotonic() });
      if (underWay.has(port)) overlaps.push(port);
      const { promise, resolve } = Promise.withResolvers<CheckOutcome>();
      underWay.set(port, resolve);
      most = Math.max(most, underWay.size);
      signal.addEventListener("abort", () => resolve(failed("given up")), { once: true });
      if (state.outcome) resolve(state.outcome);
      const outcome = await promise;
      underWay.delete(port);
      return outcome;
    },
    onResult: (key, _type, outcome) => results.push(`${key} ${outcome.type}`),
    onPause: (gapMs) => pauses.push(gapMs),
    ...options,
  });
  const start = (key: string, port: number, check = tcp(), verdict: "up" | "down" = "up") =>
    checks.start(key, { target: { ...target, port }, check, judgement: judgementOf(verdict, false), cause: "" });
  /** Time as a process sees it that is never stopped. */
  const live = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += 250) await clock.advance(250);
  };
  return { clock, stopped, checks, start, live, state, underWay, began, results, pauses, overlaps, most: () => most };
}

describe("the checks of an instance", () => {
  it("begin within a second, and are then an interval apart, more or less by a tenth, and not in step", async () => {
    const { start, live, began } = setUp();
    for (let port = 1; port <= 200; port++) start(`k${port}`, port);
    await live(1500);
    expect(new Set(began.map(({ port }) => port)).size).toBe(200);
    const firsts = new Set(began.map(({ atMs }) => atMs));
    expect(firsts.size).toBeGreaterThan(3);
    await live(60_000);
    const gaps: number[] = [];
    for (let port = 1; port <= 200; port++) {
      const times = began.filter((each) => each.port === port).map(({ atMs }) => atMs);
      for (const [index, atMs] of times.entries()) {
        const before = times[index - 1];
        if (before !== undefined) gaps.push(atMs - before);
      }
    }
    // A tick more, at most, for the time until it is noticed.
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(9000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(11_250);
    expect(new Set(gaps).size).toBeGreaterThan(5);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    expect(Math.abs(mean - 10_125)).toBeLessThan(200);
  });

  it("never overlap, not even when they are slow or the instance is registered elsewhere meanwhile", async () => {
    const { start, live, state, underWay, overlaps, began, results } = setUp();
    state.outcome = undefined;
    start("a", 1, tcp({ intervalSeconds: 1, timeoutSeconds: 1 }));
    await live(5000);
    expect(began).toHaveLength(1);
    start("a", 1, tcp({ intervalSeconds: 2 }));
    await live(2000);
    // The first was given up, its result thrown away, and the next one is under way.
    expect(began).toHaveLength(2);
    expect(results).toEqual([]);
    underWay.get(1)?.(passed);
    await live(250);
    expect(results).toEqual(["a passed"]);
    expect(overlaps).toEqual([]);
  });

  it("never overlap with one that was given up and takes its time to end", async () => {
    const ending = Promise.withResolvers<CheckOutcome>();
    let began = 0;
    const { start, live } = setUp({ probe: () => (began++, ending.promise) });
    start("a", 1);
    await live(1500);
    start("a", 2);
    await live(30_000);
    expect(began).toBe(1);
    ending.resolve(passed);
    await live(250);
    expect(began).toBe(2);
  });

  it("go on undisturbed when the same is registered again, and anew when it is another place", async () => {
    const { checks, start, live, began } = setUp();
    start("a", 1);
    await live(1500);
    for (let round = 0; round < 20; round++) {
      start("a", 1);
      await live(250);
    }
    expect(began).toHaveLength(1);
    expect(checks.viewOf("a")?.passes).toBe(1);
    start("a", 2);
    expect(checks.viewOf("a")?.passes).toBe(0);
    await live(1500);
    expect(began.map(({ port }) => port)).toEqual([1, 2]);
  });

  it("end when it is no longer checked, and a result that comes then counts for nothing", async () => {
    const { checks, start, live, state, underWay, results, began } = setUp();
    state.outcome = undefined;
    start("a", 1);
    await live(1500);
    checks.stop("a");
    underWay.get(1)?.(passed);
    await live(30_000);
    expect(results).toEqual([]);
    expect(began).toHaveLength(1);
    expect(checks.verdictOf("a")).toBeUndefined();
    expect(checks.counts()).toEqual({ instances: 0, running: 0, waiting: 0 });
  });

  it("say what was seen last, how often in a row, and when the next one is due", async () => {
    const { clock, checks, start, live, state } = setUp();
    start("a", 1);
    expect(checks.viewOf("a")).toEqual({ passes: 0, failures: 0, next: expect.any(String) });
    state.outcome = failed("status 500");
    await live(1500);
    const view = checks.viewOf("a");
    expect(view).toMatchObject({
      passes: 0,
      failures: 1,
      last: { result: "failed", reason: "status 500", latencyMs: 0 },
    });
    expect(Date.parse(view?.last?.at ?? "")).toBeLessThanOrEqual(clock.now());
    const untilNextMs = Date.parse(view?.next ?? "") - clock.now();
    expect(untilNextMs).toBeGreaterThan(7000);
    expect(untilNextMs).toBeLessThan(11_000);
  });

  it("that say nothing of it change nothing", async () => {
    const { checks, start, live, state } = setUp();
    start("a", 1, tcp({ fall: 2, intervalSeconds: 2 }));
    state.outcome = failed("timeout");
    await live(2000);
    expect(checks.viewOf("a")).toMatchObject({ failures: 1 });
    state.outcome = { type: "void", reason: "EMFILE" };
    await live(20_000);
    expect(checks.viewOf("a")).toMatchObject({ failures: 1, last: { result: "void", reason: "EMFILE" } });
    expect(checks.verdictOf("a")).toEqual({ type: "up" });
    state.outcome = failed("timeout");
    await live(2500);
    expect(checks.verdictOf("a")).toEqual({ type: "down", cause: "check: timeout" });
  });

  it("give it up once it was down for as long as its check allows, and never because of a success", async () => {
    const { checks, start, live, state } = setUp();
    const check = tcp({ intervalSeconds: 2, deregisterAfterSeconds: 30, rise: 100 });
    start("a", 1, check);
    state.outcome = failed("timeout");
    await live(29_000);
    expect(checks.verdictOf("a")?.type).toBe("down");
    state.outcome = passed;
    await live(20_000);
    expect(checks.verdictOf("a")?.type).toBe("down");
    state.outcome = failed("timeout");
    await live(2500);
    expect(checks.verdictOf("a")).toEqual({ type: "gone" });
  });
});

describe("the checks of many instances", () => {
  it("are never more than the bound at a time, and take their turns in the order in which they came due", async () => {
    const { checks, start, live, state, underWay, began, most } = setUp({ runningMax: 4 });
    state.outcome = undefined;
    for (let port = 1; port <= 40; port++) start(`k${port}`, port);
    await live(1500);
    expect(checks.counts()).toEqual({ instances: 40, running: 4, waiting: 36 });
    for (let rounds = 0; rounds < 100 && underWay.size > 0 && began.length < 40; rounds++) {
      for (const resolve of underWay.values()) resolve(failed("timeout"));
      await live(250);
    }
    expect(most()).toBe(4);
    expect(new Set(began.slice(0, 40).map(({ port }) => port)).size).toBe(40);
  });

  it("are spread anew after this process stood still, and what failed meanwhile does not count", async () => {
    const { checks, start, live, stopped, state, underWay, began, pauses, results } = setUp();
    for (let port = 1; port <= 100; port++) start(`k${port}`, port, tcp({ fall: 1 }));
    await live(1500);
    state.outcome = undefined;
    await live(8750);
    const hanging = [...underWay];
    expect(hanging.length).toBeGreaterThan(5);
    expect(hanging.length).toBeLessThan(95);
    stopped.ms = 60_000;
    await live(250);
    expect(pauses).toHaveLength(1);
    state.outcome = passed;
    results.length = 0;
    began.length = 0;
    for (const [, resolve] of hanging) resolve(failed("timeout"));
    await live(250);
    expect(results.filter((each) => each.endsWith("failed"))).toEqual([]);
    expect(results.filter((each) => each.endsWith("void"))).toHaveLength(hanging.length);
    const most = Math.max(...Array.from({ length: 100 }, (_, index) => checks.viewOf(`k${index + 1}`)?.failures ?? 0));
    expect(most).toBe(0);
    await live(12_000);
    // Not one crowd: no tick has more than a quarter of them.
    const perTick = Map.groupBy(began, ({ atMs }) => atMs);
    expect(Math.max(...[...perTick.values()].map(({ length }) => length))).toBeLessThan(25);
  });

  it("do not count the time this process stood still as time an instance was down", async () => {
    const { checks, start, live, state, stopped } = setUp();
    start("a", 1, tcp({ intervalSeconds: 2, deregisterAfterSeconds: 60 }));
    state.outcome = failed("timeout");
    await live(20_000);
    expect(checks.verdictOf("a")?.type).toBe("down");
    stopped.ms = 3_600_000;
    await live(50_000);
    expect(checks.verdictOf("a")?.type).toBe("down");
    await live(15_000);
    expect(checks.verdictOf("a")?.type).toBe("gone");
  });

  it("end with the process: close gives up what is under way, and nothing begins after it", async () => {
    const { checks, start, live, state, began } = setUp();
    state.outcome = undefined;
    for (let port = 1; port <= 10; port++) start(`k${port}`, port);
    await live(1500);
    await checks.close();
    expect(checks.counts()).toMatchObject({ running: 0, waiting: 0 });
    start("k11", 11);
    await live(30_000);
    expect(began).toHaveLength(10);
  });
});
