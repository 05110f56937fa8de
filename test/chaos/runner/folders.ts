import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Runs whose history and report are kept: a history of two minutes is some ten megabytes. */
export const KEPT_MAX = 20;
const NAME = /^\d{8}-\d{6}-seed-\d+-(\d+)$/;

/** A folder for one run. The oldest of those that have ended go, where there are more than are kept. */
export function createRunFolder(parent: string, seed: number, nowMs: number): string {
  mkdirSync(parent, { recursive: true });
  const ended = readdirSync(parent)
    .filter((name) => isEnded(name))
    .toSorted();
  for (const name of ended.slice(0, Math.max(0, ended.length - KEPT_MAX + 1))) {
    rmSync(join(parent, name), { recursive: true, force: true });
  }
  const [day = "", time = ""] = new Date(nowMs).toISOString().split("T");
  const stamp = `${day.replaceAll("-", "")}-${time.slice(0, 8).replaceAll(":", "")}`;
  const folder = join(parent, `${stamp}-seed-${seed}-${process.pid}`);
  mkdirSync(folder);
  return folder;
}

/** One of ours, whose process is gone or is this one, which runs one after another. */
function isEnded(name: string): boolean {
  const pid = Number(NAME.exec(name)?.[1]);
  if (Number.isNaN(pid)) return false;
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // EPERM: it is there, and another user's.
    return !(error instanceof Error && "code" in error && error.code === "EPERM");
  }
}
