import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Clock } from "../../../kernel/clock.ts";
import { FingerpostError, messageOf } from "../../../kernel/errors.ts";
import { tryLock, type KernelLock } from "../../../node/kernel-lock.ts";
import type { Log } from "../../../node/log.ts";
import { createStateFiles, isErrno, openOwn, type StateFiles } from "./files.ts";
import { readJournal } from "./read.ts";
import { emptyState, type Stored } from "./records.ts";

const DIRECTORY_MODE = 0o700;

export interface StateDirectory {
  readonly files: StateFiles;
  /** What an earlier run has left. */
  readonly stored: Stored;
  /** Lets the next process have it. */
  release(): void;
}

/** Makes the directory where there is none. Throws `invalid_argument` when it is not one, or not to be written to. */
export function checkStateDirectory(path: string): void {
  try {
    makeDirectory(path);
    if (!statSync(path).isDirectory()) throw new Error("it is not a directory");
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const message = `"${path}" cannot hold the registrar's state: ${messageOf(cause)}.`;
    throw new FingerpostError("invalid_argument", message, { cause });
  }
}

/** With the directories above it, one by one: Node's own `recursive` never ends where a file system makes none. */
function makeDirectory(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const each of missing) {
    try {
      mkdirSync(each, { mode: DIRECTORY_MODE });
    } catch (error) {
      // Somebody else made it meanwhile.
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

/**
 * Locks the directory for as long as this process lives, and reads what is in it. Rejects with `conflict` while another
 * process of this machine has it, and with `invalid_argument` when it is not usable. What cannot be read is set aside.
 */
export async function openStateDirectory(path: string, log: Log, clock: Clock): Promise<StateDirectory> {
  checkStateDirectory(path);
  const pathPid = join(path, "pid");
  const lock = await lockDirectory(path, pathPid);
  try {
    const files = createStateFiles(path);
    const stored = await loadState(files, log, clock);
    try {
      await writePid(pathPid);
    } catch (error) {
      // It only helps whoever is refused.
      log.warn({ error: messageOf(error), path: pathPid }, "the process id was not written to the state directory");
    }
    return { files, stored, release: () => lock.release() };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function lockDirectory(path: string, pathPid: string): Promise<KernelLock> {
  // Not its name: the same directory may have several.
  const { dev, ino } = statSync(path);
  const lock = await tryLock(`state ${dev} ${ino}`);
  if (lock) return lock;
  const pid = await readFile(pathPid, "utf8").catch(() => "");
  const who = /^\d+\n$/.test(pid) ? `, process ${pid.trim()}` : "";
  throw new FingerpostError("conflict", `The state directory "${path}" is in use by another registrar${who}.`);
}

async function writePid(path: string): Promise<void> {
  const handle = await openOwn(path, constants.O_WRONLY | constants.O_CREAT);
  try {
    await handle.truncate();
    await handle.writeFile(`${process.pid}\n`);
  } finally {
    await handle.close();
  }
}

/** What an earlier run has left there, as far as it can be trusted. */
export async function loadState(files: StateFiles, log: Log, clock: Clock): Promise<Stored> {
  for (const name of ["journal", "behind"] as const) {
    const chunks = await files.read(name);
    if (!chunks) continue;
    const { stored, damage } = await readJournal(chunks);
    if (damage?.type === "torn") {
      log.warn({ bytes: damage.bytes }, "the last line of the state was not written to its end, and is left out");
    }
    if (damage?.type === "corrupt") {
      const { line, reason, lines } = damage;
      const kept = { leases: stored.leases.size, instances: stored.instances.size };
      log.error(
        { path: await setAside(files, name, clock, log), line, reason, lines, kept },
        "the state is damaged: the rest of it is used, and a copy is set aside",
      );
    }
    const behind = stored.behind || name === "behind" || damage?.type === "corrupt";
    return { ...stored, behind };
  }
  return emptyState();
}

async function setAside(files: StateFiles, name: "journal" | "behind", clock: Clock, log: Log): Promise<string> {
  try {
    return await files.setAside(name, new Date(clock.now()));
  } catch (error) {
    // A full disk is no reason not to start: what is wrong is in the log.
    log.error({ error: messageOf(error) }, "no copy of the corrupt state could be kept");
    return "";
  }
}
