import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../cli/config/load.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";

const run = promisify(execFile);
const readme = readFileSync(join(PROJECT_DIR, "README.md"), "utf8");
const folder = join(PROJECT_DIR, ".cache/readme");

/** The one block of the README with this language. */
function block(language: string): string {
  const [match, ...others] = readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"));
  if (!match?.[1] || others.length > 0) throw new Error(`The README has not one block of ${language}.`);
  return match[1];
}

beforeAll(() => mkdirSync(folder, { recursive: true }));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the README's etcd user", () => {
  let etcd: TestEtcd;
  beforeAll(async () => {
    etcd = await startTestEtcd();
  });
  afterAll(() => etcd.close());

  it("may read and write its namespace, and nothing else", async () => {
    const env = {
      PATH: `${folder}:${process.env["PATH"]}`,
      FINGERPOST_ETCD_ENDPOINTS: etcd.endpoint,
      FINGERPOST_ETCD_ROOT_PASSWORD: etcd.root.password,
      // The test's etcd comes with a user of the name that is the default.
      FINGERPOST_ETCD_USERNAME: "of-the-readme",
    };
    // As the package installs it.
    const command = `#!/bin/sh\nexec "${process.execPath}" "${join(PROJECT_DIR, "cli/main.ts")}" "$@"\n`;
    writeFileSync(join(folder, "fingerpost"), command, { mode: 0o755 });
    await run("bash", ["-e", "-o", "pipefail", "-c", block("sh etcd")], { env, cwd: folder });

    const client = createEtcd({
      endpoints: [etcd.endpoint],
      username: "of-the-readme",
      password: readFileSync(join(folder, "etcd-password"), "utf8").trim(),
      clock: systemClock,
      random: systemRandom,
      log: createLog("test", "silent"),
    });
    const put = (key: string) => client.transact([], [{ type: "put", key, value: "x" }]);
    await expect(put("/fingerpost/default/web/1")).resolves.toMatchObject({ succeeded: true });
    await expect(put("/fingerpost/other/web/1")).rejects.toMatchObject({ code: "permission_denied" });
    await expect(put("/elsewhere")).rejects.toMatchObject({ code: "permission_denied" });
    await expect(client.get("/elsewhere")).rejects.toMatchObject({ code: "permission_denied" });
    await client.close();
  });
});

describe("the README's snippets", () => {
  it("of fingerpost.toml is a valid configuration of a registrar", () => {
    const file = join(folder, "fingerpost.toml");
    writeFileSync(file, block("toml"));
    const values = loadConfig("registrar", { file, env: {}, flags: new Map() });
    expect(values.get("etcd.endpoints")).toHaveLength(3);
  });

  it("of the client has no type error", async () => {
    const snippet = block("ts").replace("fingerpost/client", "../../client/index.ts");
    const environment = "declare const env: { RESOLVER: string; FINGERPOST_RESOLVER_TOKEN: string };\n";
    writeFileSync(join(folder, "snippet.ts"), `${environment}${snippet}\nvoid [response, instances, ageMs, stale];\n`);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ extends: "../../tsconfig.json", include: [], files: ["snippet.ts"] }),
    );
    const tsc = join(PROJECT_DIR, "node_modules/.bin/tsc");
    const { stdout } = await run(tsc, ["-p", join(folder, "tsconfig.json")]).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toBe("");
  });
});
