import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judge, judgementOf, type Judgement } from "./judgement.ts";

const thresholds = { rise: 2, fall: 3 };
const after = (start: Judgement, results: string) =>
  results.split("").reduce((judgement, result) => judge(judgement, result === "+", thresholds), start);
const up = judgementOf("up", false);
const down = judgementOf("down", false);
const untried = judgementOf("down", true);

describe("a judgement", () => {
  it.each([
    ["goes down after as many failures in a row as `fall` says", up, "---", "down", 0, 3],
    ["stays up while a success comes in between", up, "--+--", "up", 0, 2],
    ["goes up after as many successes in a row as `rise` says", down, "++", "up", 2, 0],
    ["stays down while a failure comes in between", down, "+-+", "down", 1, 0],
    ["goes up with the first success of an instance that was never tried", untried, "--+", "up", 1, 0],
    ["needs the whole rise again once it was up", untried, "+---+", "down", 1, 0],
  ] as const)("%s", (_, start, results, verdict, passes, failures) => {
    expect(after(start, results)).toMatchObject({ verdict, passes, failures });
  });

  it("turns on a run of results that reaches its threshold, and on nothing else", () => {
    const bound = fc.integer({ min: 1, max: 5 });
    fc.assert(
      fc.property(
        bound,
        bound,
        fc.boolean(),
        fc.array(fc.boolean(), { maxLength: 60 }),
        (rise, fall, isUp, results) => {
          let judgement = judgementOf(isUp ? "up" : "down", false);
          const seen: boolean[] = [];
          for (const passed of results) {
            const before = judgement.verdict;
            judgement = judge(judgement, passed, { rise, fall });
            seen.push(passed);
            const needed = before === "up" ? fall : rise;
            const isRun = seen.length >= needed && seen.slice(-needed).every((each) => each === (before === "down"));
            expect(judgement.verdict !== before).toBe(isRun);
          }
        },
      ),
    );
  });
});
