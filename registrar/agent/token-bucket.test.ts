import { expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createTokenBucket } from "./token-bucket.ts";

it("a token bucket lets a burst pass, then its rate and no more, and saves up no more than the burst", async () => {
  const clock = createManualClock();
  const bucket = createTokenBucket({ clock, ratePerSecond: 10, burst: 5 });
  const { signal } = new AbortController();
  let taken = 0;
  const takeMany = (count: number) => {
    for (let index = 0; index < count; index++) void bucket.take(signal).then(() => taken++);
  };
  takeMany(20);
  await clock.advance(0);
  expect(taken).toBe(5);
  await clock.advance(1000);
  expect(taken).toBe(15);
  await clock.advance(60_000);
  expect(taken).toBe(20);
  takeMany(20);
  await clock.advance(0);
  expect(taken).toBe(25);
});

it("a wait for a token ends at once when it is aborted", async () => {
  const clock = createManualClock();
  const bucket = createTokenBucket({ clock, ratePerSecond: 1, burst: 1 });
  const stop = new AbortController();
  await bucket.take(stop.signal);
  const waiting = bucket.take(stop.signal);
  stop.abort();
  await expect(waiting).resolves.toBeUndefined();
});
