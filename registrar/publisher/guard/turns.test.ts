import { describe, expect, it } from "vitest";
import { registration } from "../../../test/support/instance.ts";
import type { HeldInstance } from "./hold.ts";
import { createTurns, type ProbedGuard } from "./turns.ts";

/** Holds as many instances of each service as it is told; those in `last` have nothing else left. */
function holding(counts: Readonly<Record<string, number>>, last: readonly string[] = []): ProbedGuard {
  const holds = new Map(
    Object.entries(counts).map(([service, count]) => [
      service,
      new Map(
        Array.from({ length: count }, (_, index) => {
          const id = `${service}${index}`;
          return [id, { registration: registration(id) } as HeldInstance] as const;
        }),
      ),
    ]),
  );
  return {
    services: () => holds.keys(),
    held: (service) => holds.get(service) ?? new Map(),
    isLast: (service) => last.includes(service),
  };
}

describe("the turns of held instances", () => {
  it("take every service's first before any service's second, and first what a service has left", () => {
    const turns = createTurns(() => 0.5);
    const guard = holding({ large: 100, web: 3, api: 3 }, ["api"]);
    expect(turns.next(guard, 1).map(({ service }) => service)).toEqual(["api"]);
    const services = turns.next(guard, 6).map(({ service }) => service);
    expect(Object.groupBy(services, (service) => service)).toMatchObject({
      large: ["large", "large"],
      web: ["web", "web"],
      api: ["api", "api"],
    });
  });

  it("take all that is held while it is no more than may be", () => {
    expect(createTurns(Math.random).next(holding({ web: 3, api: 2 }), 5)).toHaveLength(5);
  });

  it("come to each before they come to any again, also where a probe says nothing", () => {
    const turns = createTurns(Math.random);
    const guard = holding({ web: 30 });
    const seen: string[] = [];
    for (let round = 0; round < 6; round++) {
      for (const { id, registration: one } of turns.next(guard, 5)) {
        seen.push(id);
        turns.probed(one, round % 2 === 0 ? undefined : "answered");
      }
    }
    expect(new Set(seen).size).toBe(30);
  });

  it("end with the first answer, or after as many rounds as end any hold", () => {
    const turns = createTurns(() => 0.5);
    const guard = holding({ web: 2 });
    const rounds = (["refused", "silent", "refused", "silent", "refused", "answered"] as const).map((result) => {
      const [target] = turns.next(guard, 1);
      if (target) turns.probed(target.registration, result);
      return target?.id;
    });
    const [first, , , , second] = rounds;
    expect(rounds).toEqual([first, first, first, first, second, second]);
    expect(second).not.toBe(first);
    expect(turns.next(guard, 1).map(({ id }) => id)).toEqual([first]);
  });
});
