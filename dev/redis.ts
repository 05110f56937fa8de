import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Clock } from "../kernel/clock.ts";

import type { Binary } from "./binaries.ts";
import { startChild, untilReady, type Child } from "./child.ts";
import type { Credentials } from "./etcd.ts";
import { newPassword, sha256Hex } from "./password.ts";

const READY_BUDGET_MS = 15_000;
const PING_TIMEOUT_MS = 2000;

/**
 * What each user may do. The read-write user has no administration and nothing that walks or empties the whole
 * keyspace; the read-only user besides runs no script, since a script could write.
 */
const ADMIN_RULES = "~* &* +@all";
const READ_WRITE_RULES = "~* &* +@all -@admin -@dangerous";
const READ_ONLY_RULES = "~* &* -@all +@read +@connection +@transaction +time -@admin -@dangerous -scan";

export interface RedisUsers {
  readonly admin: Credentials;
  readonly readWrite: Credentials;
  readonly readOnly: Credentials;
}

export interface RedisOptions {
  readonly binary: Binary;
  /** Holds its configuration and its log. Data is kept in memory only, and gone with the process. */
  readonly dir: string;
  readonly port: number;
  readonly users: RedisUsers;
  /** Further lines of its configuration. */
  readonly extraConfig?: readonly string[];
  /** Default: one in its folder. */
  readonly logFile?: string;
  readonly clock: Clock;
  /** Gives up the wait, and ends the process. */
  readonly signal?: AbortSignal | undefined;
  /** Told why a start takes long. */
  readonly onSlow?: (reason: string) => void;
}

export function newRedisUsers(): RedisUsers {
  const user = (username: string) => ({ username, password: newPassword() });
  return { admin: user("admin"), readWrite: user("fingerpost"), readOnly: user("fingerpost-read") };
}

export function redisUrl(port: number, { username, password }: Credentials): string {
  return `redis://${username}:${password}@127.0.0.1:${port}`;
}

/** Starts Redis on loopback and waits until it answers the read-write user. Rejects with the end of its log. */
export async function startRedis(options: RedisOptions): Promise<Child> {
  const { port, users, clock, signal, onSlow } = options;
  const child = await launchRedis(options);
  const probe = () => whyRedisIsNotReady(port, users);
  await untilReady(child, { budgetMs: READY_BUDGET_MS, clock, signal, onSlow, probe });
  return child;
}

/** Starts its process, and does not wait for it. */
export async function launchRedis(options: RedisOptions): Promise<Child> {
  const { binary, dir, port, users, clock, extraConfig = [] } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const config = join(dir, "redis.conf");
  writeFileSync(config, [configuration(dir, port, users), ...extraConfig, ""].join("\n"), { mode: 0o600 });
  return startChild({
    name: "redis",
    command: binary.path,
    args: [config],
    env: binary.env,
    cwd: dir,
    logFile: options.logFile ?? join(dir, "redis.log"),
    clock,
  });
}

/** In a sentence; undefined once it answers the read-write user. */
export async function whyRedisIsNotReady(port: number, users: RedisUsers): Promise<string | undefined> {
  return (await answers(port, users.readWrite)) ? undefined : `It does not answer its user at 127.0.0.1:${port}.`;
}

/** Passwords go in as SHA-256: not even the file holds them. */
function configuration(dir: string, port: number, users: RedisUsers): string {
  const user = ({ username, password }: Credentials, rules: string) =>
    `user ${username} on #${sha256Hex(password)} ${rules}`;
  return [
    "bind 127.0.0.1",
    `port ${port}`,
    `dir "${dir}"`,
    'save ""',
    "appendonly no",
    "user default off",
    user(users.admin, ADMIN_RULES),
    user(users.readWrite, READ_WRITE_RULES),
    user(users.readOnly, READ_ONLY_RULES),
    "",
  ].join("\n");
}

function answers(port: number, { username, password }: Credentials): Promise<boolean> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect({ host: "127.0.0.1", port });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PING_TIMEOUT_MS, () => done(false));
    socket.on("error", () => done(false));
    socket.on("close", () => done(false));
    socket.on("connect", () => socket.write(`AUTH ${username} ${password}\r\nPING\r\n`));
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      if (received.includes("\r\n+PONG\r\n") || received.startsWith("-")) done(received.startsWith("+OK\r\n+PONG\r\n"));
    });
  });
}
