import { expect, it } from "vitest";
import { settings } from "./settings.ts";

// Help lists settings with a flag and those without one apart, so the one that comes before in the table may be far off.
it.each(settings.map(({ path, help }) => [path, help]))("the help of %s can be read by itself", (_, help) => {
  expect(help).not.toMatch(/\b(its|the same)\b|\bwhich it\b/);
});
