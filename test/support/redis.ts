import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheDirOf, provideRedis } from "../../dev/binaries.ts";
import { findFreePort } from "../../dev/ports.ts";
import { newRedisUsers, redisUrl, startRedis } from "../../dev/redis.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";

const execute = promisify(execFile);

export interface TestRedis {
  /** Of the read-write user. */
  readonly url: string;
  readonly readOnlyUrl: string;
  readonly port: number;
  readonly pid: number;
  /** SIGKILL unless told otherwise; resolves once it is gone. What it held is lost. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Again, on the same port with the same users, and empty. */
  start(): Promise<void>;
  /** Runs one command as the administrator; gives what redis-cli prints. Rejects when Redis answers an error. */
  cli(...args: readonly string[]): Promise<string>;
  /** Calls of these commands (of all, without names) since the start, by Redis' own count. */
  commandCount(...names: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

/** A real Redis with users of different rights, of this test file's own. */
export async function startTestRedis(): Promise<TestRedis> {
  const binaries = await provideRedis({
    cacheDir: cacheDirOf(process.env),
    clock: systemClock,
    progress: console.error,
  });
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-redis-"));
  const port = await findFreePort(systemRandom);
  const users = newRedisUsers();
  const launch = () => startRedis({ binary: binaries.server, dir, port, users, clock: systemClock });

  let server = await launch();
  const cli = async (...args: readonly string[]) => {
    const { stdout } = await execute(
      binaries.cli.path,
      ["-e", "-h", "127.0.0.1", "-p", String(port), "--user", users.admin.username, ...args],
      { env: { ...process.env, ...binaries.cli.env, REDISCLI_AUTH: users.admin.password } },
    );
    return stdout.trimEnd();
  };
  return {
    url: redisUrl(port, users.readWrite),
    readOnlyUrl: redisUrl(port, users.readOnly),
    port,
    get pid() {
      return server.pid;
    },
    async kill(signal = "SIGKILL") {
      server.kill(signal);
      await server.exited;
    },
    async start() {
      if (!server.running()) server = await launch();
    },
    cli,
    async commandCount(...names) {
      const wanted = new Set(names.map((name) => name.toLowerCase()));
      let calls = 0;
      for (const [, name = "", count] of (await cli("INFO", "commandstats")).matchAll(
        /^cmdstat_(\S+?):calls=(\d+)/gm,
      )) {
        if (wanted.size === 0 || wanted.has(name)) calls += Number(count);
      }
      return calls;
    },
    async close() {
      await server.end();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
