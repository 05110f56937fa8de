import { expect, it } from "vitest";
import { serviceKey } from "../../contract/redis-keys.ts";
import { createFilledFixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

it("a snapshot that cannot be written again, nested too deeply, is refused, and what is held is served on", async () => {
  const fixture = await createFilledFixture();
  expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], status: 200 });
  await fixture.publisher.put("web", [instance("web-2")]);
  const key = serviceKey("default", "web");
  const nested = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
  const { clock, store, refused } = fixture;
  store.values.set(key, (store.values.get(key) ?? "").replace('"port":8080', `"port":8080,"later":${nested}`));
  await clock.advance(3000);
  expect(await fixture.look("web")).toMatchObject({ ids: ["web-1"], status: 200, stale: true });
  expect(refused).toContainEqual(expect.objectContaining({ kind: "service", reason: "unreadable" }));
});
