import { describe, expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createSeats, type Seat, type Seats } from "./seats.ts";

it("a seat is kept by who stays, and lost by who falls silent", async () => {
  const clock = createManualClock();
  const seats = createSeats(clock, 2);
  const staying = seats.take("ci");
  seats.take("ci");
  for (let second = 0; second < 15; second++) {
    await clock.advance(1000);
    staying?.stay();
    expect(seats.take("ci")).toBeUndefined();
  }
  await clock.advance(1000);
  expect(seats.take("ci")).toBeDefined();
  expect(seats.take("ci")).toBeUndefined();
});

describe("one caller", () => {
  const takeAll = (seats: Seats, caller: string) => {
    const taken: Seat[] = [];
    for (let seat = seats.take(caller); seat; seat = seats.take(caller)) taken.push(seat);
    return taken;
  };

  it.each([
    [1, 1, 0],
    [4, 3, 1],
    [20, 15, 5],
    [2000, 1500, 16],
  ])("of %i seats gets %i at most, and then another still gets %i", (countMax, first, second) => {
    const seats = createSeats(createManualClock(), countMax);
    expect([takeAll(seats, "greedy").length, takeAll(seats, "other").length]).toEqual([first, second]);
  });

  it("that has all it may have takes none of the kept seats, and gets one again for each that it leaves", () => {
    const seats = createSeats(createManualClock(), 2000);
    const [first] = takeAll(seats, "greedy");
    for (let caller = 0; caller < 500; caller++) expect(seats.take(`caller-${caller}`)).toBeDefined();
    expect(seats.take("late")).toBeUndefined();
    first?.leave();
    expect(seats.take("greedy")).toBeUndefined();
    expect(seats.take("late")).toBeDefined();
    const fewer = createSeats(createManualClock(), 2000);
    const mine = takeAll(fewer, "greedy");
    for (const seat of mine.slice(0, 3)) seat.leave();
    expect(takeAll(fewer, "greedy")).toHaveLength(3);
  });

  it("that falls silent makes room for itself and for others", async () => {
    const clock = createManualClock();
    const seats = createSeats(clock, 20);
    takeAll(seats, "greedy");
    await clock.advance(15_001);
    expect(takeAll(seats, "greedy")).toHaveLength(15);
    expect(takeAll(seats, "other")).toHaveLength(5);
  });
});
