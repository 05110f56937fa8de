import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const text = readFileSync(new URL("../../docs/consistency.md", import.meta.url), "utf8");
const inProject = (path: string) => existsSync(new URL(`../../${path}`, import.meta.url));

it("docs/consistency.md names no test that does not exist", () => {
  const named = [...text.matchAll(/`([\w./-]+\.ts)`/g)].map(([, path = ""]) => path);
  expect(named.length).toBeGreaterThan(30);
  expect(named.filter((path) => !inProject(path))).toEqual([]);
});
