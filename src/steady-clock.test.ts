import { expect, it } from "vitest";
import { createManualClock } from "../test/support/clock.ts";
import { createSteadyClock } from "./steady-clock.ts";

it("time goes on at its pace after the wall clock was set back, and never goes back itself", () => {
  let wall = 10_000_000;
  const clock = createSteadyClock({ ...createManualClock(), monotonic: () => wall });
  wall += 500;
  expect(clock.monotonic()).toBe(500);
  wall -= 3_600_000;
  expect(clock.monotonic()).toBe(500);
  wall += 250;
  expect(clock.monotonic()).toBe(750);
});
