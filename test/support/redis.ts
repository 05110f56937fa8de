import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheDirOf, provideRedis } from "../../dev/binaries.ts";
import { findFreePort } from "../../dev/ports.ts";
import { newRedisUsers, redisUrl, startRedis } from "../../dev/redis.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { until } from "./until.ts";

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
  /** Every command from now on, those that scripts run among them, as Redis' MONITOR tells them. */
  monitor(): Promise<RedisMonitor>;
  /** Calls of these commands (of all, without names) since the start, by Redis' own count. */
  commandCount(...names: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

export interface RedisMonitor {
  /** In the order in which Redis ran them; those of a script follow the call of it. */
  readonly lines: () => readonly string[];
  stop(): Promise<void>;
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
  const cliArgs = ["-e", "-h", "127.0.0.1", "-p", String(port), "--user", users.admin.username];
  const env = { ...process.env, ...binaries.cli.env, REDISCLI_AUTH: users.admin.password };
  const cli = async (...args: readonly string[]) => {
    const { stdout } = await execute(binaries.cli.path, [...cliArgs, ...args], { env });
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
    async monitor() {
      const child = spawn(binaries.cli.path, [...cliArgs, "MONITOR"], { env, stdio: ["ignore", "pipe", "ignore"] });
      const exited = once(child, "exit");
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
      await until("Redis tells its commands", () => text.startsWith("OK\n"));
      return {
        lines: () => text.split("\n").slice(1),
        async stop() {
          child.kill();
          await exited;
        },
      };
    },
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
