import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FAULTS } from "../chaos/faults/index.ts";
import { GUARANTEES } from "../chaos/guarantees/index.ts";

const text = readFileSync(new URL("../../docs/consistency.md", import.meta.url), "utf8");
const inProject = (path: string) => existsSync(new URL(`../../${path}`, import.meta.url));

describe("docs/consistency.md", () => {
  it("names no test that does not exist", () => {
    const named = [...text.matchAll(/`([\w./-]+\.ts)`/g)].map(([, path = ""]) => path);
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((path) => !inProject(path))).toEqual([]);
  });

  it("leads nowhere that does not exist", () => {
    const targets = [...text.matchAll(/\]\(\.\.\/([\w./-]+)\)/g)].map(([, path = ""]) => path);
    expect(targets.length).toBeGreaterThan(0);
    expect(targets.filter((path) => !inProject(path))).toEqual([]);
  });

  it("names each guarantee that is checked, and no other", () => {
    const named = [...text.matchAll(/(?<![\w*])_([A-Za-z][a-z ]+)_/g)].map(([, name = ""]) => name.toLowerCase());
    const words = new Set(named.filter((name) => name !== "italics" && name.length > 1));
    expect(words).toEqual(new Set(GUARANTEES.map(({ name }) => name)));
  });

  it("has a row for each fault that a chaos run does, and for no other", () => {
    const [, rows = ""] = text.split("## Under faults");
    const column = rows
      .split("\n")
      .filter((line) => line.startsWith("| "))
      .map((line) => line.split("|").at(-2) ?? "");
    const patterns = column.flatMap((cell) => [...cell.matchAll(/`([a-z*-]+)`/g)].map(([, name = ""]) => name));
    const fits = (pattern: string, name: string) => new RegExp(`^${pattern.replace("*", ".+")}$`).test(name);
    const names = FAULTS.map(({ name }) => name);
    expect(names.filter((name) => !patterns.some((pattern) => fits(pattern, name)))).toEqual([]);
    expect(patterns.filter((pattern) => !names.some((name) => fits(pattern, name)))).toEqual([]);
  });
});
