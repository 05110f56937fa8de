import { constants, type Stats } from "node:fs";
import { copyFile, lstat, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

/** Corrupt journals that are kept for whoever wants to know what happened; older ones are removed. */
const CORRUPT_MAX = 3;
const FILE_MODE = 0o600;

/** `behind`: the journal of a run that could not go on writing it. */
export type JournalName = "journal" | "behind";

/** A journal that is being written. Rejects with the system's errors. */
export interface JournalFile {
  append(text: string): Promise<void>;
  /** Returns when it is on the disk, not only with the system. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** `gone`: there is nothing; `replaced`: another process has put its own there. */
export type Standing = "ours" | "gone" | "replaced";

/** What the journal asks of a file system. */
export interface StateFiles {
  read(name: JournalName): Promise<AsyncIterable<Buffer> | undefined>;
  /** A new, empty journal beside the current one. */
  create(): Promise<JournalFile>;
  /** Makes `file` the journal, at once and whole. */
  install(file: JournalFile): Promise<void>;
  /** Whether the journal is still `file`. */
  standing(file: JournalFile): Promise<Standing>;
  /** Names the journal as one that is behind. */
  markBehind(): Promise<void>;
  /** Keeps a copy of a corrupt journal, or what is there instead of one, under the name it returns. */
  setAside(name: JournalName, at: Date): Promise<string>;
}

export function createStateFiles(dir: string): StateFiles {
  const paths = { journal: join(dir, "journal"), behind: join(dir, "journal.behind") };
  const pathNew = join(dir, "journal.new");
  const identities = new WeakMap<JournalFile, Stats>();

  async function compare(file: JournalFile, path: string): Promise<Standing> {
    const own = identities.get(file);
    const there = await existing(path);
    if (!there) return "gone";
    return there.ino === own?.ino && there.dev === own.dev ? "ours" : "replaced";
  }

  async function removeOldest(): Promise<void> {
    const names = await readdir(dir);
    const corrupt = names.filter((name) => name.startsWith("journal.corrupt-")).toSorted();
    for (const name of corrupt.slice(0, Math.max(0, corrupt.length - CORRUPT_MAX))) await rm(join(dir, name));
  }

  return {
    async read(name) {
      return (await existing(paths[name])) ? readOwn(paths[name]) : undefined;
    },

    async create() {
      await rm(pathNew, { force: true });
      // Exclusive: another process in the same directory is not to write into this one.
      const handle = await open(pathNew, "ax", FILE_MODE);
      const file: JournalFile = {
        append: (text) => handle.appendFile(text),
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
      identities.set(file, await handle.stat());
      return file;
    },

    async install(file) {
      if ((await compare(file, pathNew)) !== "ours") throw new Error(`another process works on ${pathNew}`);
      await rename(pathNew, paths.journal);
      await rm(paths.behind, { force: true });
    },

    standing: (file) => compare(file, paths.journal),

    markBehind: () => rename(paths.journal, paths.behind),

    async setAside(name, at) {
      const path = join(dir, `journal.corrupt-${at.toISOString().replaceAll(/[:.]/g, "-")}`);
      if ((await existing(paths[name]))?.isFile()) await copyFile(paths[name], path);
      else await rename(paths[name], path);
      await removeOldest();
      return path;
    },
  };
}

/** Opens what must be a file of ours: a link may lead anywhere, and a pipe never answers. Rejects for anything else. */
export async function openOwn(path: string, flags: number): Promise<FileHandle> {
  const handle = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, FILE_MODE);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new Error(`"${path}" is not a file`);
}

async function* readOwn(path: string): AsyncGenerator<Buffer, void, void> {
  const handle = await openOwn(path, constants.O_RDONLY);
  for await (const chunk of handle.createReadStream()) yield chunk as Buffer;
}

/** Itself, and not where a link leads. */
async function existing(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
