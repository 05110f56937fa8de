import { parseRange } from "verkit/range";
import { describe, expect, it } from "vitest";
import type { Instance } from "../../contract/snapshot.ts";
import { NO_FILTERS, select, type Filters } from "./selection.ts";
import { instance } from "../../test/support/instance.ts";

const ids = (instances: readonly Instance[]) => instances.map(({ id }) => id);
const selectIds = (instances: readonly Instance[], filters: Partial<Filters>) =>
  ids(select(instances, { ...NO_FILTERS, ...filters }));

describe("filters", () => {
  const instances = [
    instance("a", { version: "1.4.2", region: "eu", zone: "eu-1", tags: ["blue", "big"], metadata: { team: "x" } }),
    instance("b", { version: "2.0.0", region: "eu", zone: "eu-2", tags: ["blue"], metadata: { team: "y" } }),
    instance("c", { version: "not a version", region: "us", tags: [] }),
    instance("d"),
  ];

  it.each<[Partial<Filters>, string[]]>([
    [{}, ["a", "b", "c", "d"]],
    [{ version: parseRange("^1.4") }, ["a"]],
    [{ version: parseRange("*") }, ["a", "b"]],
    [{ region: "eu" }, ["a", "b"]],
    [{ zone: "eu-2" }, ["b"]],
    [{ tags: ["blue"] }, ["a", "b"]],
    [{ tags: ["blue", "big"] }, ["a"]],
    [{ metadata: [["team", "y"]] }, ["b"]],
    [{ metadata: [["constructor", "y"]] }, []],
    [{ region: "eu", tags: ["blue"], limit: 1 }, ["a"]],
    [{ limit: 3 }, ["a", "b", "c"]],
  ])("%o give what matches all of them, the limit last", (filters, expected) => {
    expect(selectIds(instances, filters)).toEqual(expected);
  });
});

describe("health", () => {
  const all = (["up", "suspect", "draining", "down"] as const).map((status) => instance(status, { status }));

  it("counts suspect as healthy except where only healthy ones are asked for, and gives down to nobody but all", () => {
    expect(selectIds(all, {})).toEqual(["up", "suspect"]);
    expect(selectIds(all, { health: "healthy" })).toEqual(["up"]);
    expect(selectIds(all, { health: "all" })).toEqual(["up", "suspect", "draining", "down"]);
  });

  it("falls back to draining ones, and never to those down, when nothing healthy matches", () => {
    expect(selectIds(all.slice(2), {})).toEqual(["draining"]);
    expect(selectIds(all.slice(3), {})).toEqual([]);
  });
});
