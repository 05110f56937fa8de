import { describe, expect, it } from "vitest";
import { instanceKey } from "../../../contract/etcd-keys.ts";
import { createManualClock } from "../../../test/support/clock.ts";
import { registration } from "../../../test/support/instance.ts";
import { createLost } from "./lost.ts";

function setUp() {
  const clock = createManualClock();
  const lost = createLost({ keepMs: 1000, instancesMax: 3, clock });
  return {
    clock,
    lost,
    add: (instance: string, namespace = "default") => {
      const cause = "lease";
      const departure = {
        type: "lost",
        service: "web",
        registration: registration(instance),
        cause,
        revision: 1,
      } as const;
      lost.add(instanceKey({ namespace, service: "web", instance }), departure);
    },
    ids: (namespace = "default") => lost.of(namespace).map(({ departure }) => departure.registration.id),
  };
}

describe("what is remembered of unplanned departures", () => {
  it("is kept for as long as the guard holds, from the last of each instance on", async () => {
    const { clock, lost, add, ids } = setUp();
    add("1");
    add("2");
    await clock.advance(500);
    add("1");
    await clock.advance(499);
    expect(ids()).toEqual(["2", "1"]);
    await clock.advance(1);
    lost.prune();
    expect(lost.size()).toBe(1);
    expect(ids()).toEqual(["1"]);
  });

  it("is told by namespace", () => {
    const { add, ids } = setUp();
    add("1");
    add("2", "other");
    expect([ids(), ids("other"), ids("none")]).toEqual([["1"], ["2"], []]);
  });

  it("is bounded: past that the oldest are forgotten", () => {
    const { lost, add, ids } = setUp();
    for (const id of ["1", "2", "3", "4", "5"]) add(id);
    lost.prune();
    expect(lost.size()).toBe(3);
    expect(ids()).toEqual(["3", "4", "5"]);
  });
});
