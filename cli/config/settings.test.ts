import { expect, it } from "vitest";
import { parseEnv } from "../../src/env.ts";
import { settings, settingsOf } from "./settings.ts";

// Help lists settings with a flag and those without one apart, so the one that comes before in the table may be far off.
it.each(settings.map(({ path, help }) => [path, help]))("the help of %s can be read by itself", (_, help) => {
  expect(help).not.toMatch(/\b(its|the same)\b|\bwhich it\b/);
});

it("every variable that the resolver reads can be set on Node too, but for what only a Worker has a use for", () => {
  const read = new Set<string>();
  const env = new Proxy<Record<string, string>>({}, { get: (_, name) => void read.add(String(name)) });
  expect(() => parseEnv(env)).toThrow("not valid");
  const offered = new Set(settingsOf("resolver").map((setting) => setting.env));
  expect([...read].filter((name) => !offered.has(name))).toEqual(["FINGERPOST_DEPLOYMENT"]);
});
