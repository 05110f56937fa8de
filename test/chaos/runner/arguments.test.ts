import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EXIT_USAGE, parseArguments } from "./arguments.ts";

const parse = (...argv: readonly string[]) =>
  parseArguments(
    ["node", "chaos", ...argv],
    (text) => {
      if (text === "nonsense") throw new Error('There is no fault "nonsense".');
    },
    ["lost-renewals"],
  );

const said: string[] = [];
beforeEach(() => {
  said.length = 0;
  const keep = (text: string | Uint8Array) => said.push(String(text)) > 0;
  vi.spyOn(process.stderr, "write").mockImplementation(keep);
  vi.spyOn(process.stdout, "write").mockImplementation(keep);
});
afterEach(() => vi.restoreAllMocks());

const refusals: readonly (readonly [argv: readonly string[], said: string])[] = [
  [["--seed", "-1"], "whole number from 0"],
  [["--seed", "1.5"], "whole number from 0"],
  [["--seed", "4294967296"], "whole number from 0 to 4294967295"],
  [["--seeds", "7"], "1..20"],
  [["--seeds", "9..8"], "must not be below"],
  [["--seeds", "1..20000"], "10000 seeds at most"],
  [["--minutes", "0"], "from 0.02 to 60"],
  [["--minutes", ""], "from 0.02 to 60"],
  [["--faults", "nonsense"], 'no fault "nonsense"'],
  [["--broken", "other"], "all, lost-renewals"],
  [["--broken", "all", "--short"], "cannot be used with"],
  [["--short", "--minutes", "3"], "cannot be used with"],
  [["--seed", "1", "--seeds", "1..2"], "cannot be used with"],
  [["--check", "history.jsonl", "--seed", "1"], "cannot be used with"],
  [["--list-faults", "--short"], "cannot be used with"],
  [["--loud"], "unknown option"],
  [["7"], "too many arguments"],
];
test.each(refusals)("%j is refused with what is wrong", (argv, expected) => {
  expect(parse(...argv)).toEqual({ type: "told", exitCode: EXIT_USAGE });
  expect(said.join("")).toContain(expected);
});

test("help is no failure", () => {
  expect(parse("--help")).toEqual({ type: "told", exitCode: 0 });
  expect(said.join("")).toContain("--list-faults");
  expect(said.join("")).toContain("7.2 s");
});

test("without arguments a seed is drawn, and all faults are", () => {
  const run = { short: false, keepLogs: false };
  expect(parse()).toEqual({ type: "seeds", seeds: "drawn", run });
});

test("each option is passed on", () => {
  expect(parse("--seeds", "3..5", "--minutes", "0.5", "--faults", "a@1s+1s", "--out", "there", "--keep-logs")).toEqual({
    type: "seeds",
    seeds: [3, 4, 5],
    run: { minutes: 0.5, faults: "a@1s+1s", short: false, keepLogs: true, out: "there" },
  });
  expect(parse("--short", "--seed", "9")).toMatchObject({ seeds: [9], run: { short: true } });
  expect(parse("--broken", "lost-renewals")).toMatchObject({ type: "broken", name: "lost-renewals", seed: 1 });
  expect(parse("--check", "history.jsonl")).toEqual({ type: "check", file: "history.jsonl" });
  expect(parse("--list-faults")).toEqual({ type: "list-faults" });
});
