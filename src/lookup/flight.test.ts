import { beforeEach, expect, it } from "vitest";
import { createManualClock, type ManualClock } from "../../test/support/clock.ts";
import { createFlights, type Background, type Flights } from "./flight.ts";

let clock: ManualClock;
let flights: Flights<string>;
let kept: Promise<unknown>[];
const background: Background = (work) => void kept.push(work);

beforeEach(() => {
  clock = createManualClock();
  flights = createFlights({ clock, ageMsMax: 1000, countMax: 3 });
  kept = [];
});

const never = () => new Promise<string>(() => undefined);

it("a load is shared by all of its keys, kept alive by everyone who joins, and forgotten once it settles", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const owner = flights.start(["a", "b"], background, () => promise);
  const waiter = flights.join("b", background);
  expect([owner?.collapsed, waiter?.collapsed]).toEqual([false, true]);
  expect(kept).toHaveLength(2);
  resolve("loaded");
  expect(await waiter?.promise).toBe("loaded");
  expect(flights.size()).toBe(0);
});

it("a load that fails reaches who waits, and whoever only keeps it alive sees nothing", async () => {
  const joined = flights.start(["a"], background, async () => {
    throw new Error("no");
  });
  await expect(joined?.promise).rejects.toThrow("no");
  await expect(Promise.all(kept)).resolves.toBeDefined();
  expect(flights.has("a")).toBe(false);
});

it("a load whose owner is lost is replaced after its age, and its late end leaves the new one alone", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  flights.start(["a"], background, () => promise);
  await clock.advance(1000);
  expect(flights.has("a")).toBe(true);
  await clock.advance(1);
  expect(flights.join("a", background)).toBeUndefined();
  flights.start(["a"], background, never);
  resolve("late");
  await clock.advance(0);
  expect(flights.has("a")).toBe(true);
});

it("no more loads than the bound are under way, and lost ones do not count", async () => {
  flights.start(["a", "b", "c"], background, never);
  expect(flights.start(["d"], background, never)).toBeUndefined();
  await clock.advance(1001);
  expect(flights.start(["d"], background, never)).toBeDefined();
});
