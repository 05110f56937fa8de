import { beforeEach, expect, it } from "vitest";
import { createManualClock, type ManualClock } from "../../test/support/clock.ts";
import { createBreaker, type Breaker } from "./breaker.ts";

let clock: ManualClock;
let breaker: Breaker;
let changes: string[];

beforeEach(() => {
  clock = createManualClock();
  changes = [];
  breaker = createBreaker({ clock, random: () => 0.5, probeMsMax: 1000, onChange: (state) => changes.push(state) });
});

it("one failure between successes does not open it, two in a row do", () => {
  breaker.failed();
  breaker.succeeded();
  breaker.failed();
  expect(breaker.allow()).toBe(true);
  breaker.failed();
  expect(breaker.allow()).toBe(false);
  expect(changes).toEqual(["open"]);
});

it("an open one lets a single probe through after its pause, and pauses longer after each that fails", async () => {
  breaker.failed();
  breaker.failed();
  const pauses: number[] = [];
  for (let probe = 0; probe < 5; probe++) {
    const openedAt = clock.monotonic();
    while (!breaker.allow()) await clock.advance(25);
    pauses.push(clock.monotonic() - openedAt);
    expect(breaker.allow()).toBe(false);
    breaker.failed();
  }
  expect(pauses).toEqual([125, 250, 500, 1000, 1000]);
});

it("a probe that succeeds closes it, and failures from before do not open it", async () => {
  breaker.failed();
  breaker.failed();
  breaker.failed();
  await clock.advance(125);
  expect(breaker.allow()).toBe(true);
  breaker.succeeded();
  expect(breaker.closed()).toBe(true);
  expect(changes).toEqual(["open", "closed"]);
});

it("a probe that is lost with its request is followed by another", async () => {
  breaker.failed();
  breaker.failed();
  await clock.advance(125);
  expect(breaker.allow()).toBe(true);
  await clock.advance(999);
  expect(breaker.allow()).toBe(false);
  await clock.advance(1);
  expect(breaker.allow()).toBe(true);
});
