import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Clock } from "../kernel/clock.ts";
import { libraryPath, unpackDebianPackage } from "./debian.ts";

/** A program, and what its environment needs for it to run. */
export interface Binary {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface BinaryOptions {
  readonly cacheDir: string;
  readonly clock: Clock;
  /** Told what takes a while, one line each. */
  readonly progress: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Where the project keeps what it can make again: FINGERPOST_CACHE_DIR, or .cache in the checkout. */
export function cacheDirOf(env: Readonly<Record<string, string | undefined>>): string {
  return resolve(env["FINGERPOST_CACHE_DIR"] ?? fileURLToPath(new URL("../.cache", import.meta.url)));
}

/** The etcd server from the PATH, or from Debian's package. Rejects with what to do where there is neither. */
export async function provideEtcd(options: BinaryOptions): Promise<Binary> {
  const [etcd] = await provide("etcd-server", ["usr/bin/etcd"], options);
  return etcd;
}

/** The same for Redis: its server and its command line client. */
export async function provideRedis(options: BinaryOptions): Promise<{ server: Binary; cli: Binary }> {
  const [server, cli] = await provide("redis-server", ["usr/bin/redis-server", "usr/bin/redis-cli"], options);
  return { server, cli };
}

async function provide<const Commands extends readonly string[]>(
  name: string,
  commands: Commands,
  options: BinaryOptions,
): Promise<{ [Index in keyof Commands]: Binary }> {
  type Found = { [Index in keyof Commands]: Binary };
  const found = commands.map((command) => findOnPath(command.split("/").at(-1) ?? command));
  if (found.every((path) => path !== undefined)) return found.map((path) => ({ path, env: {} })) as Found;
  if (!findOnPath("apt-get") || !findOnPath("dpkg-deb")) throw new Error(advice(name));
  const root = await unpackDebianPackage({ ...options, package: name, commands });
  const env = { LD_LIBRARY_PATH: libraryPath(root) };
  return commands.map((command) => ({ path: join(root, command), env })) as Found;
}

function findOnPath(command: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      if (folder !== "" && statSync(path).isFile()) return path;
    } catch {
      // Not in this folder: the next one may have it.
    }
  }
  return undefined;
}

function advice(name: string): string {
  const missing = `${name} is not on the PATH, and there is no apt-get to unpack Debian's package with.`;
  if (process.platform === "darwin") return `${missing} Install both servers and try again:\n  brew install etcd redis`;
  return [
    `${missing} Install etcd and Redis, or run them in containers:`,
    "  docker compose up --detach --wait",
    "  export FINGERPOST_ETCD_ENDPOINTS=http://127.0.0.1:2379",
    "  export FINGERPOST_ETCD_USERNAME=fingerpost FINGERPOST_ETCD_PASSWORD=fingerpost-in-development",
    "  export UPSTASH_REDIS_REST_URL=http://127.0.0.1:7071 UPSTASH_REDIS_REST_TOKEN=read-write-in-development",
    "and try again.",
  ].join("\n");
}
