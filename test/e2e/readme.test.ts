import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestDev, type TestDev } from "../support/dev.ts";

// A README whose commands fail is worse than none: every block marked `sh try` is run as a reader would run it.
const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const blocks = [...readme.matchAll(/^```sh try\n(.*?)^```$/gms)].map((match) => match[1] ?? "");

const run = promisify(execFile);

let dev: TestDev;
beforeAll(async () => {
  dev = await startTestDev({ demo: true });
}, 120_000);
afterAll(() => dev.close());

describe("the README", () => {
  it("has blocks to try", () => expect(blocks.length).toBeGreaterThanOrEqual(3));

  it.each(blocks)("keeps its word: %s", async (block) => {
    const { stdout } = await run("bash", ["-e", "-o", "pipefail", "-c", block], {
      env: { ...process.env, ...dev.environment },
      cwd: new URL("../..", import.meta.url),
    });
    expect(stdout).not.toMatch(/"status":[45]\d\d|HTTP\/1\.1 [45]\d\d/);
    expect(stdout.trim()).not.toBe("");
  });
});
