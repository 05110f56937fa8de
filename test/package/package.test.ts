import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connect, entriesBelow } from "../agent/registrar.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";

const run = promisify(execFile);
const project = fileURLToPath(new URL("../..", import.meta.url));

let folder: string;
let installed: string;

// The package as a user gets it: built, packed, and unpacked where another project's node_modules would hold it.
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-package-"));
  await run("npm", ["run", "build"], { cwd: project });
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
    cwd: project,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  mkdirSync(join(folder, "node_modules"));
  await run("tar", ["-xzf", join(folder, filename), "-C", folder]);
  installed = join(folder, "node_modules", "fingerpost");
  await run("mv", [join(folder, "package"), installed]);
  symlinkSync(join(project, "node_modules"), join(installed, "node_modules"));
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

it("lets a service register itself as the README says, and lets it end", async () => {
  const etcd = await startTestEtcd();
  const root = connect(etcd, "root");
  try {
    const [, example = ""] = /^```js\n(.*?)^```$/ms.exec(readFileSync(join(project, "README.md"), "utf8")) ?? [];
    const endpoint = "http://127.0.0.1:2379";
    expect(example).toContain(`"${endpoint}"`);
    const script = join(folder, "service.mjs");
    const { username, password } = etcd.user;
    writeFileSync(
      script,
      `const [username, password] = ["${username}", "${password}"];\n${example.replace(endpoint, etcd.endpoint)}\nconsole.log("at work");\n`,
    );
    const service = spawn(process.execPath, [script], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [service.stdout, service.stderr]) stream.on("data", (text) => (said += String(text)));
    const exited = once(service, "exit");
    await until("it is at work", () => said !== "");
    expect(await entriesBelow(root, "/fingerpost/default/web/")).toHaveLength(1);
    service.kill("SIGTERM");
    expect({ exited: await exited, said }).toEqual({ exited: [0, null], said: "at work\n" });
    expect(await entriesBelow(root, "/fingerpost/default/web/")).toEqual([]);
  } finally {
    await root.close();
    await etcd.close();
  }
});

it("gives a CommonJS service its registrar, with types", async () => {
  writeFileSync(
    join(folder, "use.cjs"),
    'const { createRegistrar, connectRegistrar } = require("fingerpost/registrar");' +
      "console.log(typeof createRegistrar, typeof connectRegistrar().register);",
  );
  const { stdout, stderr } = await run(process.execPath, ["use.cjs"], { cwd: folder });
  expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: "function function", stderr: "" });
  writeFileSync(
    join(folder, "use.mts"),
    `import { connectRegistrar, createRegistrar, FingerpostError, type Registered, type ServiceRegistrar } from "fingerpost/registrar";
const both: ServiceRegistrar[] = [createRegistrar({ etcd: { endpoints: ["http://a:1"] } }), connectRegistrar({ url: "http://localhost:1" })];
const registered: Registered | undefined = await both[0]?.register("web", { address: "a", port: 1, tags: ["x"] });
// @ts-expect-error: a port is a number
await both[1]?.register("web", { address: "a", port: "1" });
export { registered, FingerpostError };
`,
  );
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { module: "nodenext", target: "es2024", strict: true, noEmit: true, types: [] },
      files: ["use.mts"],
    }),
  );
  const tsc = join(project, "node_modules/.bin/tsc");
  const checked = await run(tsc, ["-p", folder]).catch((error: unknown) => error as { stdout: string });
  expect(checked.stdout).toBe("");
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
