import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * A folder for what this run keeps, named by our process id. Those of runs that were killed, and so could not remove
 * theirs, are removed on the way.
 */
export function createRunDir(cacheDir: string): string {
  const parent = join(cacheDir, "dev");
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) {
    if (!isAlive(Number(name)) || Number(name) === process.pid)
      rmSync(join(parent, name), { recursive: true, force: true });
  }
  const dir = join(parent, String(process.pid));
  mkdirSync(dir, { mode: 0o700 });
  return dir;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
