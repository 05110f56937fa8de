import { expect, it } from "vitest";
import { createManualClock } from "../../support/clock.ts";
import type { Fleet, FleetProcess } from "../fleet/fleet.ts";
import type { FaultEvent } from "../history/event.ts";
import { FaultFailure, runFaults } from "./driver.ts";
import type { Fault, Planned, Touched } from "./fault.ts";

/** A fleet of one process, which faults that go wrong leave paused: real ones are undone. */
function setup() {
  const clock = createManualClock();
  let state = "running";
  const gateway = {
    name: "gateway",
    kind: "gateway",
    state: () => state,
    resume: () => (state = "running"),
    start: () => (state === "gone" ? Promise.reject(new Error("its port is taken")) : Promise.resolve()),
  };
  const fleet = { lines: [], fronts: [], resolvers: [], agents: [], processes: [gateway as unknown as FleetProcess] };
  const events: FaultEvent[] = [];
  const done: string[] = [];
  const fault = (name: string, touched: Touched, begin = Promise.resolve(), end = Promise.resolve()): Fault => ({
    name,
    about: "",
    touches: [touched],
    async begin() {
      done.push(`${clock.monotonic()} ${name} begins`);
      await begin;
      return {
        target: name,
        detail: { drawn: 1 },
        async end() {
          done.push(`${clock.monotonic()} ${name} ends`);
          await end;
          return { seen: 2 };
        },
      };
    },
  });
  const stop = new AbortController();
  const run = (faults: readonly Fault[], schedule: readonly Planned[]) =>
    runFaults(
      {
        fleet: fleet as unknown as Fleet,
        faults,
        clock,
        now: () => clock.monotonic(),
        onFault: (event) => events.push(event),
      },
      schedule,
      stop.signal,
    ).catch((error: unknown) => error);
  return { clock, fault, run, events, done, stop, state: () => state, set: (to: string) => (state = to) };
}

const plan = (id: number, name: string, atMs: number, durationMs: number): Planned => ({
  id,
  name,
  atMs,
  durationMs,
  seed: 1,
});

it("begins and undoes each at its time, and tells both", async () => {
  const { clock, fault, run, events, done } = setup();
  const ended = run([fault("a", "etcd"), fault("b", "redis")], [plan(0, "a", 100, 500), plan(1, "b", 300, 100)]);
  await clock.advance(1000);
  expect(await ended).toBeUndefined();
  expect(done).toEqual(["100 a begins", "300 b begins", "400 b ends", "600 a ends"]);
  expect(events).toEqual([
    { type: "fault", id: 0, name: "a", target: "a", detail: { drawn: 1 }, from: 100 },
    { type: "fault", id: 1, name: "b", target: "b", detail: { drawn: 1 }, from: 300 },
    { type: "fault", id: 1, name: "b", target: "b", detail: { drawn: 1, seen: 2 }, from: 300, to: 400 },
    { type: "fault", id: 0, name: "a", target: "a", detail: { drawn: 1, seen: 2 }, from: 100, to: 600 },
  ]);
});

it("waits for one that takes longer than planned before another touches the same", async () => {
  const { clock, fault, run, done } = setup();
  const slow = new Promise<void>((resolve) => clock.after(2000, resolve));
  const schedule = [plan(0, "slow", 0, 100), plan(1, "same", 200, 100), plan(2, "other", 200, 100)];
  const ended = run([fault("slow", "etcd", slow), fault("same", "etcd"), fault("other", "redis")], schedule);
  await clock.advance(3000);
  expect(await ended).toBeUndefined();
  expect(done).toEqual([
    "0 slow begins",
    "200 other begins",
    "300 other ends",
    "2100 slow ends",
    "2100 same begins",
    "2200 same ends",
  ]);
});

it("fails the run for what was not begun, not undone, or does not heal, and undoes the others first", async () => {
  const { clock, fault, run, done, events, set } = setup();
  const fails = (why: string) => {
    const failure = Promise.reject(new Error(why));
    failure.catch(() => undefined);
    return failure;
  };
  const faults = [
    fault("a", "etcd", fails("no leader")),
    fault("b", "redis", Promise.resolve(), fails("no answer")),
    fault("c", "gateway"),
    fault("hangs", "agents", Promise.resolve(), new Promise(() => undefined)),
  ];
  set("gone");
  const schedule = [plan(0, "a", 0, 100), plan(1, "b", 0, 100), plan(2, "c", 0, 300), plan(3, "hangs", 0, 100)];
  const ended = run(faults, schedule);
  await clock.advance(100_000);
  const failure = await ended;
  expect(failure).toBeInstanceOf(FaultFailure);
  expect((failure as FaultFailure).problems).toEqual([
    "a (#0) was not begun: no leader",
    "b (#1) was not undone: no answer",
    "hangs (#3) was not undone: it took longer than 90000 ms",
    "gateway does not run: its port is taken",
  ]);
  expect(done).toContain("300 c ends");
  // One that was begun has an end in the history, whatever became of it.
  expect(events.filter(({ to }) => to !== undefined).map(({ name }) => name)).toEqual(["b", "c", "hangs"]);
});

it("undoes at once what is under way when it is told to stop, begins nothing more, and heals", async () => {
  const { clock, fault, run, done, stop, set, state } = setup();
  const ended = run([fault("a", "etcd"), fault("b", "redis")], [plan(0, "a", 0, 5000), plan(1, "b", 2000, 100)]);
  await clock.advance(1000);
  set("paused");
  stop.abort();
  await clock.advance(10);
  expect(await ended).toBeUndefined();
  expect(done).toEqual(["0 a begins", "1000 a ends"]);
  expect(state()).toBe("running");
});
