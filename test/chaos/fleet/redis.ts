import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheDirOf, provideRedis } from "../../../dev/binaries.ts";
import { launchRedis, newRedisUsers, redisUrl, whyRedisIsNotReady, type RedisUsers } from "../../../dev/redis.ts";
import { sleep } from "../../../kernel/clock.ts";
import { makeLine, makeProcess, type Context } from "./context.ts";
import type { Line, RedisPair, RedisServer } from "./fleet.ts";

const execute = promisify(execFile);

/** Of a server that is paused there is no answer. */
const CLI_TIMEOUT_MS = 10_000;
const RETRY_MS = 100;

export interface StartedPair extends RedisPair {
  readonly users: RedisUsers;
  /** A line to whoever is the master. */
  lineToMaster(name: string): Promise<Line>;
}

/** A master with a replica, which keep nothing on a disk. */
export async function startRedisPair(context: Context): Promise<StartedPair> {
  const binaries = await provideRedis({
    cacheDir: cacheDirOf(process.env),
    clock: context.clock,
    progress: context.say,
  });
  const users = newRedisUsers();
  const { admin } = users;
  const lines: Line[] = [];
  let master = 0;

  const make = async (name: string, index: number): Promise<RedisServer> => {
    const { dir: runDir, clock } = context;
    const port = await context.ports.claimAny();
    const dir = join(runDir, name);
    const logFile = join(runDir, `${name}.log`);
    const url = redisUrl(port, admin);
    const cliArgs = ["-e", "-h", "127.0.0.1", "-p", String(port), "--user", admin.username];
    const env = { ...process.env, ...binaries.cli.env, REDISCLI_AUTH: admin.password };
    const cli = async (...args: readonly string[]) => {
      const { stdout } = await execute(binaries.cli.path, [...cliArgs, ...args], { env, timeout: CLI_TIMEOUT_MS });
      return stdout.trimEnd();
    };
    const made = makeProcess(context, {
      name,
      kind: "redis",
      url,
      logFile,
      launch: () => {
        const extraConfig = [
          `masteruser ${admin.username}`,
          `masterauth ${admin.password}`,
          // At once: in production a replica is not new each time.
          "repl-diskless-sync-delay 0",
          ...(index === master ? [] : [`replicaof 127.0.0.1 ${toMaster.proxy.port}`]),
        ];
        return launchRedis({ binary: binaries.server, dir, port, users, clock, logFile, extraConfig });
      },
      probe: () => whyRedisIsNotReady(port, users),
      // One that was away while the other was promoted still takes itself for the master.
      onReturn: () => void follow(index),
    });
    return Object.assign(made, { port, adminUrl: url, cli });
  };
  const follow = async (index: number): Promise<void> => {
    const server = servers[index];
    // It is told by its next start.
    if (index === master || server?.state() !== "running") return;
    try {
      await server.cli("REPLICAOF", "127.0.0.1", String(toMaster.proxy.port));
    } catch {
      // It may have been killed or paused just now, which the next look shows.
      await sleep(context.clock, RETRY_MS);
      await follow(index);
    }
  };
  const lineToMaster = async (name: string) => {
    const line = await makeLine(context, name, servers[master]?.port ?? 0);
    lines.push(line);
    return line;
  };

  const first = await make("redis", 0);
  const second = await make("replica", 1);
  const servers: readonly [RedisServer, RedisServer] = [first, second];
  const toMaster = await lineToMaster("replica>redis");
  await Promise.all(servers.map((server) => server.start()));
  return {
    users,
    servers,
    lineToMaster,
    master: () => servers[master] ?? first,
    replica: () => servers[1 - master] ?? second,
    async promote() {
      const after = servers[1 - master] ?? second;
      await after.cli("REPLICAOF", "NO", "ONE");
      master = 1 - master;
      for (const { proxy } of lines) {
        proxy.target(after.port);
        proxy.reset();
      }
      await follow(1 - master);
    },
  };
}
