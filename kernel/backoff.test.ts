import { expect, it } from "vitest";
import { createBackoff } from "./backoff.ts";

it("draws each delay below a ceiling that doubles up to its cap", () => {
  const backoff = createBackoff({ baseMs: 100, capMs: 500, random: () => 0.5 });
  expect([1, 2, 3, 4, 5].map(() => backoff.next())).toEqual([50, 100, 200, 250, 250]);
});

it("starts over after a success", () => {
  const backoff = createBackoff({ baseMs: 100, capMs: 500, random: () => 0.5 });
  backoff.next();
  backoff.next();
  backoff.reset();
  expect(backoff.next()).toBe(50);
});
