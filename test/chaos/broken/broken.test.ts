import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { applyChanges } from "./change.ts";
import { BROKEN_BUILDS } from "./builds.ts";

const execute = promisify(execFile);
const projectDir = fileURLToPath(new URL("../../..", import.meta.url));
const preload = new URL("preload.ts", import.meta.url).href;

/** Loads what a build changes, as a process of the product would; gives whether its own text arrived there. */
async function loads(name: string, files: readonly string[]): Promise<string> {
  const program = files.map((file) => `await import(${JSON.stringify(`./${file}`)});`).join("\n");
  const { stdout } = await execute(
    process.execPath,
    ["--import", preload, "--input-type=module", "-e", `${program}\nconsole.log("loaded")`],
    { cwd: projectDir, env: { PATH: process.env["PATH"], BROKEN_BUILD: name } },
  );
  return stdout.trim();
}

test("every broken build changes sources as they are today", () => {
  for (const { changes } of BROKEN_BUILDS) {
    for (const file of new Set(changes.map((change) => change.file))) {
      const source = readFileSync(`${projectDir}/${file}`, "utf8");
      expect(applyChanges(file, source, changes)).not.toBe(source);
    }
  }
});

test("each guarantee has a build that breaks it", () => {
  expect(new Set(BROKEN_BUILDS.map(({ guarantee }) => guarantee)).size).toBe(10);
});

test("a text that is not there, or twice, is no broken build", () => {
  const change = { file: "a.ts", from: "one", to: "two" };
  expect(() => applyChanges("a.ts", "three", [change])).toThrow("a.ts has 0 times");
  expect(() => applyChanges("a.ts", "one one", [change])).toThrow("a.ts has 2 times");
  expect(applyChanges("b.ts", "one", [change])).toBe("one");
  expect(applyChanges("a.ts", "one", [{ ...change, to: "$&" }])).toBe("$&");
});

test("changed sources load in a process of the product", async () => {
  const loaded = await Promise.all(
    BROKEN_BUILDS.map(({ name, changes }) => loads(name, [...new Set(changes.map(({ file }) => file))])),
  );
  expect(loaded).toEqual(BROKEN_BUILDS.map(() => "loaded"));
});

test("what runs is the changed text", async () => {
  const source = `const { createProvenance } = await import("./src/lookup/provenance.ts");
    console.log(createProvenance.toString().includes("return 0;"));`;
  const told = async (imports: readonly string[]) => {
    const env = { PATH: process.env["PATH"], BROKEN_BUILD: "never-aged" };
    const args = [...imports, "--input-type=module", "-e", source];
    return (await execute(process.execPath, args, { cwd: projectDir, env })).stdout;
  };
  expect(await told(["--import", preload])).toContain("true");
  expect(await told([])).toContain("false");
});

test("a process whose broken build does not fit does not start", async () => {
  await expect(loads("no-such-build", [])).rejects.toThrow("There is no broken build");
});
