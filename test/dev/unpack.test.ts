import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PROJECT_DIR } from "../support/dev.ts";

const run = promisify(execFile);

/** Stands in for the network alone: what it "downloads" is a real package, which the real dpkg-deb unpacks. */
const APT = `#!/bin/sh
for argument; do
  case "$argument" in Dir::Cache=*) cache=\${argument#Dir::Cache=} ;; esac
  last=$argument
done
echo "$last" >> "$APT_CALLS"
[ "$last" = update ] && exit 0
sleep 0.3
[ -e "$APT_FAILS" ] && { echo 'E: no route to the mirror' >&2; exit 100; }
cp "$APT_PACKAGE" "$cache/archives/"
`;

const PROGRAM = `
  import { systemClock } from "./kernel/clock.ts";
  import { unpackDebianPackage } from "./dev/debian.ts";
  console.log(await unpackDebianPackage({
    package: "greeter", commands: ["usr/bin/greet"], cacheDir: process.env.CACHE, clock: systemClock, progress: console.error,
  }));
`;

const hasDpkg = await run("dpkg-deb", ["--version"]).then(
  () => true,
  () => false,
);

describe.skipIf(!hasDpkg)("a package that is unpacked into the cache", () => {
  let folder: string;
  let cache: string;
  const calls = () => readFileSync(join(folder, "calls"), "utf8").trimEnd().split("\n");
  const unpack = async () => {
    const { stdout } = await run(process.execPath, ["--input-type=module-typescript", "-e", PROGRAM], {
      cwd: PROJECT_DIR,
      env: {
        ...process.env,
        PATH: `${folder}:${process.env["PATH"]}`,
        CACHE: cache,
        APT_CALLS: join(folder, "calls"),
        APT_FAILS: join(folder, "fails"),
        APT_PACKAGE: join(folder, "greeter.deb"),
      },
    });
    return stdout.trim();
  };
  const greet = async (root: string) => (await run(join(root, "usr/bin/greet"))).stdout;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fingerpost-unpack-"));
    mkdirSync(join(folder, "tree/DEBIAN"), { recursive: true });
    mkdirSync(join(folder, "tree/usr/bin"), { recursive: true });
    const control = "Package: greeter\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: greets\n";
    writeFileSync(join(folder, "tree/DEBIAN/control"), control);
    writeFileSync(join(folder, "tree/usr/bin/greet"), "#!/bin/sh\necho hello\n");
    writeFileSync(join(folder, "apt-get"), APT);
    for (const path of ["tree/usr/bin/greet", "apt-get"]) chmodSync(join(folder, path), 0o755);
    for (const path of ["tree", "tree/DEBIAN", "tree/usr", "tree/usr/bin"]) chmodSync(join(folder, path), 0o755);
    await run("dpkg-deb", ["--build", "--root-owner-group", join(folder, "tree"), join(folder, "greeter.deb")]);
  });
  beforeEach(() => {
    cache = mkdtempSync(join(folder, "cache-"));
    writeFileSync(join(folder, "calls"), "");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("is fetched once by two processes that want it at the same time, and whole for both", async () => {
    const roots = await Promise.all([unpack(), unpack()]);
    expect(roots[0]).toBe(roots[1]);
    expect(calls()).toEqual(["update", "greeter"]);
    expect(await greet(roots[0] ?? "")).toBe("hello\n");
  });

  it("is fetched again when what is there lacks a program, and what another run left half done is removed", async () => {
    const root = await unpack();
    rmSync(join(root, "usr/bin/greet"));
    mkdirSync(join(dirname(root), "unfinished-abc"));
    expect(await unpack()).toBe(root);
    expect(await greet(root)).toBe("hello\n");
    expect(readdirSync(dirname(root))).toEqual(["greeter"]);
  });

  it("leaves nothing in the cache, and says what apt said, when it cannot be fetched", async () => {
    writeFileSync(join(folder, "fails"), "");
    await expect(unpack()).rejects.toThrow(/apt-get ended with 100:\s+E: no route to the mirror/);
    rmSync(join(folder, "fails"));
    const [system = ""] = readdirSync(join(cache, "debian"));
    expect(readdirSync(join(cache, "debian", system))).toEqual([]);
  });
});
