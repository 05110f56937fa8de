import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

let folder: string;
let installed: string;

// The package as a user gets it: built, packed, and unpacked where another project's node_modules would hold it.
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-package-"));
  await run("npm", ["run", "build"], { cwd: root });
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
    cwd: root,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  mkdirSync(join(folder, "node_modules"));
  await run("tar", ["-xzf", join(folder, filename), "-C", folder]);
  installed = join(folder, "node_modules", "fingerpost");
  await run("mv", [join(folder, "package"), installed]);
  symlinkSync(join(root, "node_modules"), join(installed, "node_modules"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("runs as the command fingerpost", async () => {
  const { stdout } = await run(process.execPath, [join(installed, "dist/cli/main.js"), "--help"]);
  for (const command of [
    "etcd-setup",
    "registrar",
    "resolver",
    "gateway",
    "dev",
    "register",
    "lookup",
    "ls",
    "status",
  ]) {
    expect(stdout).toContain(`  ${command} `);
  }
});

it("gives another project its client", async () => {
  writeFileSync(
    join(folder, "use.mjs"),
    'import { createClient } from "fingerpost/client"; console.log(typeof createClient({ url: "https://a", token: "t" }).pick);',
  );
  const { stdout } = await run(process.execPath, ["use.mjs"], { cwd: folder });
  expect(stdout.trim()).toBe("function");
});

it("brings no test, no bench and no source that only a checkout can use", async () => {
  const { stdout } = await run("find", [
    installed,
    "-name",
    "*.test.*",
    "-o",
    "-name",
    "*.ts",
    "-not",
    "-name",
    "*.d.ts",
  ]);
  expect(stdout).toBe("");
});
