import { describe, expect, it } from "vitest";
import { createLog } from "../../../node/log.ts";
import { createManualClock } from "../../../test/support/clock.ts";
import { registration } from "../../../test/support/instance.ts";
import { createCatalogState } from "../catalog-state.ts";
import { createGuardDesk } from "./desk.ts";
import { createGuard } from "./guard.ts";
import { GUARD_DEFAULT } from "./limits.ts";

/** A desk over namespaces in which one instance of each of these services is held. */
function setUp(held: Readonly<Record<string, readonly string[]>>, flushed: () => Promise<void>) {
  const clock = createManualClock();
  const catalog = createCatalogState(() => {}, clock);
  const log = createLog("test", "silent");
  const namespaces = Object.entries(held).map(([namespace, services]) => {
    const guard = createGuard({ namespace, settings: GUARD_DEFAULT, catalog, published: () => 0, clock, log });
    guard.takeUp(
      services.map((service) => {
        const hold = { id: "1", cause: "lease", since: clock.now(), until: clock.now() + 1000 };
        return { service, hold, registration: registration("1") };
      }),
      clock.now(),
    );
    return [namespace, { guard, changed: () => {}, flushed }] as const;
  });
  return {
    clock,
    desk: createGuardDesk({
      leads: () => true,
      leader: () => undefined,
      namespaces: () => namespaces,
      catalog,
      clock,
    }),
  };
}

describe("the guard's desk", () => {
  it("says that a release is not published yet when Redis does not take it, and has released it all the same", async () => {
    const { desk, clock } = setUp({ default: ["web"] }, () => new Promise(() => {}));
    const released = desk.release({}).catch((error: unknown) => error);
    await clock.advance(5000);
    expect(await released).toMatchObject({ code: "unavailable", message: expect.stringContaining("Redis takes it") });
    expect(desk.held()).toBe(0);
  });

  it("leaves nothing out between pages, whatever characters names have", () => {
    const { desk } = setUp({ "a-b": ["x", "x-y", "x.y", "x0"], a: ["z", "-"], b: ["x"] }, () => Promise.resolve());
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = desk.show({ cursor, limit: 2 });
      names.push(...page.holds.map(({ namespace, service }) => `${namespace}/${service}`));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(names).toEqual(["a/-", "a/z", "a-b/x", "a-b/x-y", "a-b/x.y", "a-b/x0", "b/x"]);
  });
});
