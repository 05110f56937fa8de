import * as fc from "fast-check";
import { expect, it } from "vitest";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { createFilledFixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { mutatedText } from "../../test/support/mutations.ts";

const PATHS = ["", "/pick", "/pick?key=a", "?tag=a&near=eu-1&version=^1", "?health=all&limit=1"];
const NAMES = ["web", "api", "made-up"];

/**
 * What stands in Redis is taken from there, damaged and put back. What a damaged document says may be believed where it is
 * whole, since nothing is signed here; that it breaks an answer may not.
 */
it("no document in Redis, whatever it says, breaks an answer, or is in the way of the right ones that follow", async () => {
  const place = fc.constantFrom(
    headKey("default"),
    catalogKey("default"),
    ...NAMES.map((name) => serviceKey("default", name)),
  );
  const step = fc.record({
    place,
    other: place,
    seed: fc.nat(),
    path: fc.constantFrom(...PATHS),
    changes: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), fc.boolean(), async (steps, isWarm) => {
      const fixture = await createFilledFixture();
      const { clock, store, publisher } = fixture;
      const answers: number[] = [];
      const ask = async (path: string) => {
        const asked = NAMES.map((name) => fixture.get(`/v1/services/${name}${path}`));
        const listed = [fixture.get("/v1/services"), fixture.get("/v1/resolve?service=web&service=api")];
        const all = Promise.all([...asked, ...listed]);
        await clock.advance(2500);
        for (const response of await all) {
          answers.push(response.status);
          await response.text();
        }
      };
      if (isWarm) await ask("");
      const whole = new Map(store.values);
      for (const { place: key, other, seed, path, changes } of steps) {
        if (changes) await publisher.put("api", [instance("api-2", { version: "1.2.3", tags: ["a"] })]);
        const valid = fc.constant(whole.get(other) ?? "{}");
        const [damaged = ""] = fc.sample(mutatedText(valid), { seed, numRuns: 1 });
        store.values.set(key, damaged);
        await ask(path);
      }
      expect(answers.filter((status) => ![200, 404, 503].includes(status))).toEqual([]);
      // A new epoch is above whatever was believed, but for what no publisher's clock could say.
      publisher.epoch = clock.now();
      publisher.revision = 2 ** 45;
      await publisher.fill();
      await clock.advance(3000);
      const after = fixture.get("/v1/services/made-up");
      await clock.advance(2500);
      expect([404, 503]).toContain((await after).status);
    }),
    { numRuns: 40 },
  );
});
