import { expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createSeats } from "./seats.ts";

it("a seat is kept by who stays, and lost by who falls silent", async () => {
  const clock = createManualClock();
  const seats = createSeats(clock, 2);
  const staying = seats.take();
  seats.take();
  for (let second = 0; second < 15; second++) {
    await clock.advance(1000);
    staying?.stay();
    expect(seats.take()).toBeUndefined();
  }
  await clock.advance(1000);
  expect(seats.take()).toBeDefined();
  expect(seats.take()).toBeUndefined();
});
