import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startWorkerd } from "../../bench/resolver/workerd.ts";
import { createStage, type Stage } from "../../bench/support/stage.ts";
import { startChild, untilReady, type Child } from "../../dev/child.ts";
import { findFreePort } from "../../dev/ports.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";

const READY_WITHIN_MS = 45_000;
const TOKENS = {
  registrar: "registrar-token-4cc1bd0ee1f7",
  gateway: "gateway-token-90b6c3f0a3d2",
  gatewayReader: "gateway-reader-token-5f6b1f0a77c1",
  resolver: "resolver-key-1f0aa6c25c1b",
};

/** A process of ours that is fuzzed. */
export interface Target {
  readonly port: number;
  readonly pid: number;
  readonly token: string;
  /** What its log says so far; "" of workerd, which tells nothing by itself. */
  log(): string;
}

/** One of everything, each with a token of its own, on real sockets. */
export interface FuzzStack {
  readonly etcd: TestEtcd;
  readonly redis: TestRedis;
  /** Of the roles agent and publisher. */
  readonly registrar: Target;
  readonly gateway: Target;
  /** The resolver on Node. */
  readonly resolver: Target;
  /** The resolver in workerd. */
  readonly worker: Target;
  /** Tokens and passwords that no answer and no line of a log may tell. */
  readonly secrets: readonly string[];
  close(): Promise<void>;
}

/** `workerScript`: the path of the built Worker. */
export async function startFuzzStack(workerScript: (dir: string) => Promise<string>): Promise<FuzzStack> {
  const stage = createStage("fuzz", new AbortController().signal);
  try {
    return await start(stage, workerScript);
  } catch (error) {
    await stage.close();
    throw error;
  }
}

async function start(stage: Stage, workerScript: (dir: string) => Promise<string>): Promise<FuzzStack> {
  const script = workerScript(stage.dir);
  // Awaited once it is needed; what fails before that is what is told, or else this is.
  script.catch(() => undefined);
  const [etcd, redis] = await Promise.all([startTestEtcd(), startTestRedis()]);
  stage.own(etcd);
  stage.own(redis);
  const registrar = startTarget(stage, "registrar", TOKENS.registrar, {
    FINGERPOST_ETCD_ENDPOINTS: etcd.endpoint,
    FINGERPOST_ETCD_USERNAME: etcd.user.username,
    FINGERPOST_ETCD_PASSWORD: etcd.user.password,
    FINGERPOST_REDIS_URL: redis.url,
    FINGERPOST_STATE_DIR: join(stage.dir, "state"),
    FINGERPOST_TOKEN: TOKENS.registrar,
  });
  const gateway = await startTarget(stage, "gateway", TOKENS.gateway, {
    FINGERPOST_REDIS_URL: redis.url,
    FINGERPOST_REDIS_READ_ONLY_URL: redis.readOnlyUrl,
    FINGERPOST_TOKEN: TOKENS.gateway,
    FINGERPOST_READ_ONLY_TOKEN: TOKENS.gatewayReader,
  });
  const env = {
    UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${gateway.port}`,
    UPSTASH_REDIS_REST_TOKEN: TOKENS.gatewayReader,
    FINGERPOST_KEYS: `fuzz=${createHash("sha256").update(TOKENS.resolver).digest("hex")}`,
    FINGERPOST_NAMESPACES: "default,other",
    // What is stored is looked at again at once.
    FINGERPOST_FRESH_MS: "50",
  };
  const resolver = startTarget(stage, "resolver", TOKENS.resolver, env);
  const workerd = await startWorkerd(stage, { name: "worker", script: await script, env });
  return {
    etcd,
    redis,
    registrar: await registrar,
    gateway,
    resolver: await resolver,
    worker: { port: workerd.port, pid: workerd.pid, token: TOKENS.resolver, log: () => "" },
    secrets: [
      ...Object.values(TOKENS),
      etcd.user.password,
      etcd.root.password,
      ...[redis.url, redis.readOnlyUrl].map((url) => new URL(url).password),
    ],
    close: () => stage.close(),
  };
}

async function startTarget(
  stage: Stage,
  name: "registrar" | "gateway" | "resolver",
  token: string,
  env: Readonly<Record<string, string>>,
): Promise<Target> {
  const port = await findFreePort(systemRandom);
  const cwd = join(stage.dir, name);
  mkdirSync(cwd, { recursive: true });
  const logFile = join(cwd, "log");
  const child: Child = await startChild({
    name,
    command: process.execPath,
    args: [join(PROJECT_DIR, "cli/main.ts"), name],
    env: { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"], FINGERPOST_LISTEN: `127.0.0.1:${port}`, ...env },
    cwd,
    logFile,
    clock: systemClock,
  });
  stage.own({ close: () => child.end() });
  const probe = async () => ((await isReady(port)) ? undefined : "It is not ready yet.");
  await untilReady(child, { budgetMs: READY_WITHIN_MS, clock: systemClock, probe });
  return { port, pid: child.pid, token, log: () => readFileSync(logFile, "utf8") };
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
  } catch {
    // It does not listen yet; whether it ever will is for the caller's deadline.
    return false;
  }
}
