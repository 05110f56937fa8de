import { expect, test } from "vitest";
import { seededRandom } from "../../support/random.ts";
import { createChanges, placeInstances, SIZES, SIZES_SHORT, type Action } from "./plan.ts";

const AGENTS = 3;
const ACTIONS = 5000;

function actionsOf(seed: number, count = ACTIONS): readonly Action[] {
  const changes = createChanges(placeInstances(SIZES, AGENTS), AGENTS, seededRandom(seed));
  return Array.from({ length: count }, () => changes.next()).flat();
}

test("one seed is one sequence of changes, and another seed another one", () => {
  expect(actionsOf(7, 300)).toEqual(actionsOf(7, 300));
  expect(actionsOf(8, 300)).not.toEqual(actionsOf(7, 300));
});

test.each([SIZES, SIZES_SHORT])(
  "the instances of a service begin on different agents, and each has a name of its own",
  (sizes) => {
    const placements = placeInstances(sizes, AGENTS);
    expect(new Set(placements.map(({ instance }) => instance)).size).toBe(placements.length);
    for (const members of Map.groupBy(placements, ({ service }) => service).values()) {
      const agents = new Set(members.map(({ agent }) => agent));
      expect(agents.size).toBe(Math.min(members.length, AGENTS));
    }
  },
);

test("witnesses of availability are never changed, and everything else is, in every way that its kind knows", () => {
  const kindOf = new Map(placeInstances(SIZES, AGENTS).map(({ instance, kind }) => [instance, kind]));
  const seen = new Set(actionsOf(1).map(({ instance, change }) => `${kindOf.get(instance)} ${change}`));
  expect([...seen].toSorted()).toEqual([
    "churn crash",
    "churn deregister",
    "churn drain",
    "churn move",
    "churn return",
    "churn weigh",
    "zero deregister",
    "zero return",
  ]);
});

test("what is away only returns, what drains returns or goes, and a move leads to another agent", () => {
  const agentOf = new Map(placeInstances(SIZES, AGENTS).map(({ instance, agent }) => [instance, agent]));
  const before = new Map<string, string>();
  const sequences = new Set<string>();
  for (const { instance, change, agent } of actionsOf(3)) {
    sequences.add(`${before.get(instance) ?? "nothing"}, ${change}`);
    expect(agent === agentOf.get(instance)).toBe(change !== "move");
    agentOf.set(instance, agent);
    before.set(instance, change);
  }
  const after = (change: string) => [...sequences].filter((one) => one.startsWith(`${change},`)).toSorted();
  expect(after("crash")).toEqual(["crash, return"]);
  expect(after("deregister")).toEqual(["deregister, return"]);
  expect(after("drain")).toEqual(["drain, deregister", "drain, return"]);
});
