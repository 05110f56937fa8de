import { describe, expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createDeadlines } from "./deadlines.ts";

function setUp() {
  const clock = createManualClock();
  const due: string[] = [];
  const pauses: number[] = [];
  const deadlines = createDeadlines({
    clock,
    onDue: (key) => due.push(key),
    onPause: (gapMs) => pauses.push(gapMs),
  });
  return { clock, due, pauses, deadlines };
}

/** Time as a process sees it that is never stopped. */
async function live(clock: ReturnType<typeof createManualClock>, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) await clock.advance(50);
}

describe("a deadline", () => {
  it("comes due once, not before its time and at most a tick after it", async () => {
    const { clock, due, deadlines } = setUp();
    await live(clock, 100);
    deadlines.watch("a", 3000);
    await live(clock, 2950);
    expect(due).toEqual([]);
    await live(clock, 350);
    expect(due).toEqual(["a"]);
    await live(clock, 10_000);
    expect(due).toEqual(["a"]);
    expect(deadlines.size()).toBe(0);
  });

  it("never comes due while heartbeats arrive", async () => {
    const { clock, due, deadlines } = setUp();
    for (let beat = 0; beat < 30; beat++) {
      deadlines.watch("a", 3000);
      await live(clock, 1000);
    }
    expect(due).toEqual([]);
    await live(clock, 2500);
    expect(due).toEqual(["a"]);
  });

  it("can be brought forward", async () => {
    const { clock, due, deadlines } = setUp();
    deadlines.watch("a", 60_000);
    deadlines.watch("a", 1000);
    await live(clock, 1300);
    expect(due).toEqual(["a"]);
  });

  it("does not come due once it is forgotten, nor after close", async () => {
    const { clock, due, deadlines } = setUp();
    deadlines.watch("a", 1000);
    deadlines.watch("b", 1000);
    deadlines.forget("a");
    await live(clock, 1300);
    expect(due).toEqual(["b"]);
    deadlines.watch("c", 1000);
    deadlines.close();
    deadlines.watch("d", 1000);
    await live(clock, 1300);
    expect(due).toEqual(["b"]);
  });

  it("starts again, for all, after the process stood still", async () => {
    const { clock, due, pauses } = setUp();
    // The timer fires late and only once after a stop, as it does in a process that gets SIGCONT.
    const stopped = { stopMs: 0 };
    const deadlines = createDeadlines({
      clock: { ...clock, monotonic: () => clock.monotonic() + stopped.stopMs },
      onDue: (key) => due.push(key),
      onPause: (gapMs) => pauses.push(gapMs),
    });
    deadlines.watch("a", 3000);
    deadlines.watch("b", 8000);
    await live(clock, 1000);
    stopped.stopMs = 60_000;
    await live(clock, 2700);
    expect(pauses).toHaveLength(1);
    expect(pauses[0]).toBeGreaterThanOrEqual(60_000);
    expect(due).toEqual([]);
    await live(clock, 800);
    expect(due).toEqual(["a"]);
    await live(clock, 5000);
    expect(due).toEqual(["a", "b"]);
  });

  it("takes no timer while nothing is watched", async () => {
    const { clock, deadlines } = setUp();
    let planned = 0;
    const counting = { ...clock, after: (ms: number, run: () => void) => (planned++, clock.after(ms, run)) };
    const idle = createDeadlines({ clock: counting, onDue: () => {}, onPause: () => {} });
    idle.watch("a", 1000);
    idle.forget("a");
    const before = planned;
    await live(clock, 2000);
    expect(planned).toBe(before);
    deadlines.close();
  });
});
