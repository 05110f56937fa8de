import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bareEnvironment } from "../support/bare-environment.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { publicTextOf, SIGNING_KEY } from "../support/signing.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-keys-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fingerpost(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(
      process.execPath,
      [join(PROJECT_DIR, "cli/main.ts"), ...args],
      { cwd: folder, env: { ...bareEnvironment(), ...env }, timeout: 20_000 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

/** The assignments of an environment file. */
function assignments(text: string): Record<string, string> {
  const lines = text.trim().split("\n");
  return Object.fromEntries(lines.filter((line) => !line.startsWith("#")).map((line) => line.split(/=(.*)/s, 2)));
}

describe("fingerpost keys", () => {
  it("makes a key that only its owner may read, never over a file, and tells the public one again", async () => {
    const made = await fingerpost(["keys", "generate", "--out", "signing-key"]);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    const { FINGERPOST_PUBLIC_KEYS, ...rest } = assignments(made.stdout);
    expect(rest).toEqual({ FINGERPOST_SIGNING_KEY_FILE: "signing-key" });
    const file = join(folder, "signing-key");
    const key = readFileSync(file, "utf8").trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(FINGERPOST_PUBLIC_KEYS).toBe(publicTextOf(key));
    expect(made.stdout).not.toContain(key);

    const again = await fingerpost(["keys", "generate", "--out", "signing-key"]);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain("signing-key");
    expect(readFileSync(file, "utf8").trim()).toBe(key);

    const shown = await fingerpost(["keys", "public"], rest);
    expect(assignments(shown.stdout)).toEqual({ FINGERPOST_PUBLIC_KEYS });
  });

  it("prints a key of its own each time, as variables", async () => {
    const [first, second] = await Promise.all([fingerpost(["keys", "generate"]), fingerpost(["keys", "generate"])]);
    const { FINGERPOST_SIGNING_KEY: key = "", FINGERPOST_PUBLIC_KEYS } = assignments(first.stdout);
    expect(FINGERPOST_PUBLIC_KEYS).toBe(publicTextOf(key));
    expect(assignments(second.stdout)["FINGERPOST_SIGNING_KEY"]).not.toBe(key);
  });

  it("and a registrar and a resolver refuse what is none before they start, and never show it", async () => {
    const halved = SIGNING_KEY.slice(0, 60);
    const file = join(folder, "key.pem");
    writeFileSync(file, `-----BEGIN PRIVATE KEY-----\n${SIGNING_KEY}\n-----END PRIVATE KEY-----\n`);
    const empty = join(folder, "empty");
    writeFileSync(empty, "\n");
    const cases = [
      [["registrar"], { FINGERPOST_SIGNING_KEY: halved }, "FINGERPOST_SIGNING_KEY: must be one line of base64"],
      [["registrar"], { FINGERPOST_SIGNING_KEY_FILE: file }, "FINGERPOST_SIGNING_KEY_FILE: must be one line of base64"],
      [["keys", "public"], { FINGERPOST_SIGNING_KEY: publicTextOf(SIGNING_KEY) }, "FINGERPOST_SIGNING_KEY: must be"],
      [["keys", "public"], {}, "FINGERPOST_SIGNING_KEY, or FINGERPOST_SIGNING_KEY_FILE: is required"],
      [
        ["registrar"],
        { FINGERPOST_PUBLIC_KEYS: publicTextOf(SIGNING_KEY) },
        "FINGERPOST_SIGNING_KEY: is required beside",
      ],
      [["resolver", "--open"], { FINGERPOST_PUBLIC_KEYS: SIGNING_KEY }, "FINGERPOST_PUBLIC_KEYS: must be an Ed25519"],
      [
        ["resolver", "--open"],
        { FINGERPOST_PUBLIC_KEYS_FILE: empty },
        "FINGERPOST_PUBLIC_KEYS_FILE: the file is empty",
      ],
    ] as const;
    await Promise.all(
      cases.map(async ([args, env, said]) => {
        const { code, stdout, stderr } = await fingerpost(args, env);
        expect(code).toBe(2);
        expect(stderr).toContain(said);
        expect(stdout + stderr).not.toContain(halved.slice(22));
      }),
    );
  });
});
