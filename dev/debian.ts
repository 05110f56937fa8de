import { spawn } from "node:child_process";
import {
  accessSync,
  constants,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { sleep, type Clock } from "../kernel/clock.ts";
import { tryLock, type KernelLock } from "../node/kernel-lock.ts";

/** How long one apt or dpkg command may take; the longest is a download over a slow line. */
const COMMAND_TIMEOUT_MS = 300_000;
const OUTPUT_CHARACTERS_MAX = 4000;
/** How long to wait for another process that is unpacking into the same cache. */
const LOCK_BUDGET_MS = 600_000;
const LOCK_POLL_MS = 250;
/** Names what is half done, so that it can be told from what is complete. */
const UNFINISHED = "unfinished-";

export interface UnpackOptions {
  /** What the package is wanted for: paths in it, of which all must be there and be executable. */
  readonly package: string;
  readonly commands: readonly string[];
  /** With which each of them shows that it runs; default `--version`. */
  readonly versionArgs?: readonly string[];
  readonly cacheDir: string;
  readonly clock: Clock;
  readonly progress: (line: string) => void;
  /** Ends the work; what is half done is removed. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The folder into which a Debian package and what it depends on (beyond what is installed) are unpacked, as if it were
 * the root of a system. Nothing is installed and no root is needed. A folder that is there is complete, since it gets
 * its name last; callers in several processes wait for each other. Rejects with the end of what apt said.
 */
export async function unpackDebianPackage(options: UnpackOptions): Promise<string> {
  const parent = join(options.cacheDir, "debian", systemName());
  const root = join(parent, options.package);
  if (isComplete(root, options.commands)) return root;
  mkdirSync(parent, { recursive: true });
  const lock = await acquireLock(parent, options);
  try {
    if (isComplete(root, options.commands)) return root;
    for (const name of readdirSync(parent)) {
      if (name.startsWith(UNFINISHED)) rmSync(join(parent, name), { recursive: true, force: true });
    }
    rmSync(root, { recursive: true, force: true });
    const work = mkdtempSync(join(parent, UNFINISHED));
    try {
      await unpackInto(work, options);
      renameSync(join(work, "root"), root);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    return root;
  } finally {
    lock.release();
  }
}

/** The folders of an unpacked root where the loader has to look for libraries, for LD_LIBRARY_PATH. */
export function libraryPath(root: string): string {
  return globSync(["usr/lib/*-linux-*", "lib/*-linux-*"], { cwd: root })
    .map((path) => join(root, path))
    .join(":");
}

async function unpackInto(
  work: string,
  { package: name, commands, versionArgs = ["--version"], progress, signal }: UnpackOptions,
): Promise<void> {
  for (const path of ["lists/partial", "cache/archives/partial", "root"]) {
    mkdirSync(join(work, path), { recursive: true });
  }
  // A state of our own: a fresh machine has no package lists, and only root may write the system's.
  const own = [`Dir::State::Lists=${join(work, "lists")}`, `Dir::Cache=${join(work, "cache")}`];
  // apt as root would fetch as a user who cannot write here.
  const settings = [...own, "Debug::NoLocking=1", "APT::Sandbox::User=root"].flatMap((setting) => ["-o", setting]);
  progress(`reading the package lists for ${name}`);
  await run("apt-get", [...settings, "-qq", "update"], signal);
  progress(`downloading ${name} and what it needs`);
  await run(
    "apt-get",
    [...settings, "-qq", "-y", "--no-install-recommends", "--download-only", "install", name],
    signal,
  );
  const archives = globSync("*.deb", { cwd: join(work, "cache/archives") });
  for (const archive of archives) {
    await run("dpkg-deb", ["-x", join(work, "cache/archives", archive), join(work, "root")], signal);
  }
  if (!isComplete(join(work, "root"), commands)) {
    throw new Error(`The package ${name} does not hold ${commands.join(" and ")}; is it installed, but off the PATH?`);
  }
  const environment = { LD_LIBRARY_PATH: libraryPath(join(work, "root")) };
  for (const command of commands) await run(join(work, "root", command), versionArgs, signal, environment);
  progress(`${name} is unpacked`);
}

function isComplete(root: string, commands: readonly string[]): boolean {
  try {
    for (const command of commands) accessSync(join(root, command), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A cache may be shared by several systems, a machine and its containers say, and their libraries differ. */
function systemName(): string {
  const release = readFileSync("/etc/os-release", "utf8");
  const field = (name: string) => new RegExp(`^${name}="?([A-Za-z0-9._-]+)"?$`, "m").exec(release)?.[1] ?? "unknown";
  return `${field("ID")}-${field("VERSION_ID")}-${process.arch}`;
}

async function acquireLock(path: string, { clock, progress, signal }: UnpackOptions): Promise<KernelLock> {
  const deadline = clock.monotonic() + LOCK_BUDGET_MS;
  for (let tries = 0; ; tries++) {
    const lock = await tryLock(`unpack ${path}`);
    if (lock) return lock;
    if (tries === 0) progress("waiting for another process that is unpacking the same");
    if (clock.monotonic() > deadline) throw new Error(`Another process holds the cache ${path} for too long.`);
    await sleep(clock, LOCK_POLL_MS, signal);
    signal?.throwIfAborted();
  }
}

function run(
  command: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive", ...env },
      timeout: COMMAND_TIMEOUT_MS,
      ...(signal ? { signal } : {}),
    });
    let output = "";
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-OUTPUT_CHARACTERS_MAX);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", reject);
    child.once("close", (code, endedBy) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ended with ${code ?? endedBy}:\n${output.trimEnd()}`));
    });
  });
}
