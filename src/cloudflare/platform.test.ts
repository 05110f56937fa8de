import { expect, it } from "vitest";
import { createCloudflarePlatform } from "./platform.ts";

it("a platform keeps work alive by waitUntil, and tells where a request came in", async () => {
  const kept: Promise<unknown>[] = [];
  const request = Object.assign(new Request("http://r/"), { cf: { colo: "FRA", country: "DE", latitude: "50.1" } });
  const platform = createCloudflarePlatform(request, { waitUntil: (work) => void kept.push(work) });
  platform.background(Promise.resolve("done"));
  expect(await Promise.all(kept)).toEqual(["done"]);
  expect(platform.location).toMatchObject({ colo: "FRA", country: "DE", latitude: "50.1" });
});

it("a platform tells no place where there is none, as in a simulator", () => {
  expect(createCloudflarePlatform(new Request("http://r/"), { waitUntil: () => undefined }).location).toBeUndefined();
});
