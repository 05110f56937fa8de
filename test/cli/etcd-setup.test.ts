import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { connect, put } from "../registrar-etcd/fixture.ts";
import { bareEnvironment } from "../support/bare-environment.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { startBareEtcd, type BareEtcd } from "../support/etcd.ts";
import { provideEtcdctl } from "../support/etcdctl.ts";

const PASSWORD = "the-password-of-the-new-user";
const ROOT_PASSWORD = "the-password-of-root";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-etcd-setup-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function execute(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { cwd: folder, env: { ...bareEnvironment(), ...env }, timeout: 20_000 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

const setup = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  execute(process.execPath, [join(PROJECT_DIR, "cli/main.ts"), "etcd-setup", ...args], env);

async function using<T>(etcd: BareEtcd, username: string, password: string, task: (client: Etcd) => Promise<T>) {
  const client = connect(etcd.endpoint, { username, password });
  try {
    return await task(client);
  } finally {
    await client.close();
  }
}

describe("an etcd set up by --run", () => {
  let etcd: BareEtcd;
  // With JWT each change to users and roles makes every token old for reads and writes. The command's own goes on.
  beforeAll(async () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs1", format: "pem" },
    });
    const [publicFile, privateFile] = [join(folder, "public.pem"), join(folder, "private.pem")];
    writeFileSync(publicFile, publicKey);
    writeFileSync(privateFile, privateKey, { mode: 0o600 });
    const token = `jwt,pub-key=${publicFile},priv-key=${privateFile},sign-method=RS256,ttl=60s`;
    etcd = await startBareEtcd({ extraArgs: [`--auth-token=${token}`] });
  });
  afterAll(() => etcd.close());

  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    setup(["--run", "--etcd-endpoints", etcd.endpoint, ...args], env);

  it("is left as it was, when there is no password to give", async () => {
    const user = await run([]);
    expect(user).toMatchObject({ code: 2, stdout: "" });
    expect(user.stderr).toContain("FINGERPOST_ETCD_PASSWORD");
    const root = await run(["--enable-auth"], { FINGERPOST_ETCD_PASSWORD: PASSWORD });
    expect(root).toMatchObject({ code: 1, stdout: "" });
    expect(root.stderr).toContain("FINGERPOST_ETCD_ROOT_PASSWORD");
  });

  it("has user and role while its authentication is off, and says that it is", async () => {
    const { code, stdout } = await run(["--namespace", "a"], { FINGERPOST_ETCD_PASSWORD: PASSWORD });
    expect(code).toBe(0);
    expect(stdout).toContain("made   user fingerpost\n");
    expect(stdout).toContain("advice authentication is off");
    expect(stdout).not.toContain(PASSWORD);
  });

  it("has authentication on after --enable-auth, with root and the user let in", async () => {
    const { code, stdout } = await run(["--namespace", "a", "--enable-auth"], {
      FINGERPOST_ETCD_PASSWORD: PASSWORD,
      FINGERPOST_ETCD_ROOT_PASSWORD: ROOT_PASSWORD,
    });
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining("made   authentication is on") });
    await using(etcd, "root", ROOT_PASSWORD, async (client) => {
      await expect(client.get("/anything")).resolves.toMatchObject({ entry: undefined });
    });
    await using(etcd, "fingerpost", PASSWORD, async (client) => {
      await expect(client.transact([], [put("/fingerpost/a/web/1")])).resolves.toMatchObject({ succeeded: true });
      await expect(client.transact([], [put("/fingerpost/b/web/1")])).rejects.toMatchObject({
        code: "permission_denied",
      });
    });
  });

  it("is not changed by a second run, which tells what is there", async () => {
    const { code, stdout } = await run(["--namespace", "a", "--enable-auth"], {
      FINGERPOST_ETCD_PASSWORD: PASSWORD,
      FINGERPOST_ETCD_ROOT_PASSWORD: ROOT_PASSWORD,
    });
    expect(code).toBe(0);
    expect(stdout).toContain("found  authentication is on");
    expect(stdout).not.toMatch(/^(made|advice)/m);
  });

  it("is told of rights too many and of another password, and keeps both", async () => {
    const { code, stdout } = await run(["--namespace", "b"], {
      FINGERPOST_ETCD_PASSWORD: "not-the-password-of-the-user",
      FINGERPOST_ETCD_ROOT_PASSWORD: ROOT_PASSWORD,
    });
    expect(code).toBe(0);
    expect(stdout).toContain("made   role fingerpost: READWRITE on /fingerpost/b/\n");
    expect(stdout).toContain("etcdctl role revoke-permission fingerpost /fingerpost/a/ /fingerpost/a0\n");
    expect(stdout).toContain("advice user fingerpost has another password");
    await using(etcd, "fingerpost", PASSWORD, async (client) => {
      const operations = [put("/fingerpost/a/web/1"), put("/fingerpost/b/web/1")];
      await expect(client.transact([], operations)).resolves.toMatchObject({ succeeded: true });
    });
  });

  it("takes a password made up for a file that only its owner reads, once", async () => {
    const file = join(folder, "agent-password");
    const args = ["--role", "agent", "--password-file", file];
    const env = { FINGERPOST_ETCD_ROOT_PASSWORD: ROOT_PASSWORD };
    const { code, stdout } = await run(args, env);
    expect(code).toBe(0);
    const password = readFileSync(file, "utf8").trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(password).toMatch(/^[0-9a-f]{48}$/);
    expect(stdout).not.toContain(password);
    await using(etcd, "fingerpost-agent", password, async (client) => {
      await expect(client.get("/fingerpost/default/web/1")).resolves.toMatchObject({ entry: undefined });
    });
    expect(await run(args, env)).toMatchObject({ code: 0, stdout: expect.not.stringMatching(/^(made|advice)/m) });
    expect(readFileSync(file, "utf8").trim()).toBe(password);
  });

  it("knows a user who comes with a certificate, and who no password lets in", async () => {
    const env = { FINGERPOST_ETCD_ROOT_PASSWORD: ROOT_PASSWORD };
    const { code } = await run(["--certificate", "--etcd-username", "by-certificate"], env);
    expect(code).toBe(0);
    await using(etcd, "by-certificate", "any", async (client) => {
      await expect(client.get("/fingerpost/default/web/1")).rejects.toMatchObject({ code: "unauthenticated" });
    });
  });

  it("refuses a wrong password of root, or none, without showing it, and says where it is given", async () => {
    const ended = await run([], {
      FINGERPOST_ETCD_PASSWORD: PASSWORD,
      FINGERPOST_ETCD_ROOT_PASSWORD: "not-the-one-of-root",
    });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toContain('etcd refuses the password of "root"');
    expect(ended.stderr).toContain("FINGERPOST_ETCD_ROOT_PASSWORD");
    expect(ended.stderr).not.toMatch(/not-the-one-of-root|the-password/);
    const without = await run([], { FINGERPOST_ETCD_PASSWORD: PASSWORD });
    expect(without).toMatchObject({ code: 1, stdout: "" });
    expect(without.stderr).toContain("FINGERPOST_ETCD_ROOT_PASSWORD");
  });
});

describe("the commands that are printed", () => {
  it("make an etcd that --run finds complete, authentication and all", async () => {
    const [etcd, path] = await Promise.all([startBareEtcd(), provideEtcdctl()]);
    try {
      const args = ["--etcd-endpoints", etcd.endpoint, "--enable-auth", "--namespace", "a", "--namespace", "b"];
      const printed = await setup(args);
      expect(printed.code).toBe(0);
      const env = { PATH: `${path}:${process.env["PATH"]}`, ETCDCTL_API: "3" };
      const passwords = { FINGERPOST_ETCD_PASSWORD: PASSWORD, FINGERPOST_ETCD_ROOT_PASSWORD: ROOT_PASSWORD };
      // Etcd takes an empty password for one, and lets everybody in who gives it.
      for (const missing of ["FINGERPOST_ETCD_PASSWORD", "FINGERPOST_ETCD_ROOT_PASSWORD"]) {
        const refused = await execute("sh", ["-c", printed.stdout], { ...env, ...passwords, [missing]: "" });
        expect(refused.code).not.toBe(0);
        expect(refused.stdout).toBe("");
        expect(refused.stderr).toContain(`${missing}: is the password`);
      }
      const ran = await execute("bash", ["-e", "-o", "pipefail", "-c", printed.stdout], { ...env, ...passwords });
      expect(ran).toMatchObject({ code: 0 });
      const { code, stdout } = await setup(["--run", ...args], passwords);
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.not.stringMatching(/^(made|advice)/m) });
    } finally {
      await etcd.close();
    }
  });

  it.each([
    ["a user root", ["--etcd-username", "root"]],
    ["a name that a shell would read", ["--etcd-username", "a; b"]],
    ["every namespace and one", ["--all-namespaces", "--namespace", "a"]],
    ["a namespace that is no name", ["--namespace", "_agents"]],
    ["a password for a certificate", ["--certificate", "--password-file", "p"]],
  ])("are refused for %s", async (_, args) => {
    const { code, stdout } = await setup(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("follow the registrar's own configuration", async () => {
    const file = join(folder, "fingerpost.toml");
    writeFileSync(file, 'namespace = "shop"\n[etcd]\nusername = "shop-agent"\n[registrar]\nrole = "agent"\n');
    const { stdout } = await setup([]);
    rmSync(file);
    expect(existsSync(file)).toBe(false);
    expect(stdout).toContain("etcdctl role grant-permission shop-agent --prefix=true readwrite /fingerpost/shop/\n");
    expect(stdout).not.toContain("_publisher");
  });
});
