import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { parseArguments as fuzzArguments } from "../fuzz/arguments.ts";
import { parseArguments as simulationArguments } from "../simulation/arguments.ts";

// What is wrong on a command line is said in a line, with the exit code of all commands here, and nothing runs.

const commands = {
  simulate: (...argv: readonly string[]) => simulationArguments(["node", "simulate", ...argv], ["last-goes"]),
  fuzz: (...argv: readonly string[]) => fuzzArguments(["node", "fuzz", ...argv]),
};

const said: string[] = [];
beforeEach(() => {
  said.length = 0;
  const keep = (text: string | Uint8Array) => said.push(String(text)) > 0;
  vi.spyOn(process.stderr, "write").mockImplementation(keep);
  vi.spyOn(process.stdout, "write").mockImplementation(keep);
});
afterEach(() => vi.restoreAllMocks());

const refusals: readonly (readonly [command: keyof typeof commands, argv: readonly string[], said: string])[] = [
  ["simulate", ["--seed", "-1"], "whole number from 0"],
  ["simulate", ["--seed", " "], "whole number from 0"],
  ["simulate", ["--seeds", "0"], "whole number from 1"],
  ["simulate", ["--only", "1,"], "numbers such as"],
  ["simulate", ["--broken", "other"], "last-goes"],
  ["simulate", ["--workers", "0"], "whole number from 1"],
  ["simulate", ["--workers", "2", "--trace"], "cannot be used with"],
  ["simulate", ["7"], "too many arguments"],
  ["fuzz", ["--seed", "1.5"], "whole number from 0"],
  ["fuzz", ["--minutes", "Infinity"], "from 0 to 1440"],
  ["fuzz", ["--cases", "0"], "whole number from 1"],
  ["fuzz", ["--only", "gateway,other"], "registrar,gateway"],
  ["fuzz", ["--loud"], "unknown option"],
];
test.each(refusals)("%s refuses %j with what is wrong", (command, argv, expected) => {
  expect(commands[command](...argv)).toEqual({ type: "told", exitCode: 2 });
  expect(said.join("")).toContain(expected);
});

test.each(["simulate", "fuzz"] as const)("the help of %s is no failure", (command) => {
  expect(commands[command]("--help")).toEqual({ type: "told", exitCode: 0 });
  expect(said.join("")).toContain("--seed <n>");
});

test("each option is passed on", () => {
  expect(commands.simulate()).toEqual({ type: "simulate", first: 1, count: 1, workers: 1, traced: false });
  expect(commands.simulate("--workers", "2")).toMatchObject({ workers: 2 });
  expect(
    commands.simulate("--seed", "7", "--seeds", "3", "--only", "8,16", "--trace", "--broken", "last-goes"),
  ).toEqual({ type: "simulate", first: 7, count: 3, workers: 1, places: [8, 16], traced: true, broken: "last-goes" });
  const parts = ["registrar", "gateway", "resolver", "worker", "stored"];
  expect(commands.fuzz()).toEqual({ type: "fuzz", seed: 1, minutes: 0, cases: 400, parts });
  expect(commands.fuzz("--seed", "7", "--minutes", "0.5", "--cases", "9", "--only", "gateway,gateway")).toEqual({
    type: "fuzz",
    seed: 7,
    minutes: 0.5,
    cases: 9,
    parts: ["gateway"],
  });
});
