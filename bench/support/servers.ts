import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTestEtcd, type TestEtcd } from "../../test/support/etcd.ts";
import { sumSamples } from "../../test/support/prometheus.ts";
import { startTestRedis, type TestRedis } from "../../test/support/redis.ts";
import type { Stage } from "./stage.ts";
import { cpuSecondsOf } from "./usage.ts";

/** The server's default, and what production has. */
const BCRYPT_COST = 10;

export interface TokenOptions {
  readonly type: "simple" | "jwt";
  /** Simple tokens: since their last use. JWT: since they were issued. */
  readonly ttlSeconds: number;
}

/** What an etcd has done since its start, by its own count. */
export interface EtcdCounters {
  readonly atMs: number;
  /** gRPC messages received and sent, of all methods, streams and unary calls. */
  readonly messages: number;
  readonly authenticates: number;
  readonly renewals: number;
  readonly cpuSeconds: number;
}

export interface BenchEtcd extends TestEtcd {
  readonly version: string;
  counters(): Promise<EtcdCounters>;
}

/** A real etcd with authentication on and passwords at the default cost; simple tokens of 300 s unless told otherwise. */
export async function startBenchEtcd(stage: Stage, tokens?: TokenOptions): Promise<BenchEtcd> {
  const etcd = stage.own(await startTestEtcd({ bcryptCost: BCRYPT_COST, extraArgs: tokenArgs(stage, tokens) }));
  const version = (await (await fetch(`${etcd.endpoint}/version`)).json()) as { readonly etcdserver: string };
  const counters = async (): Promise<EtcdCounters> => {
    const text = await etcd.metrics();
    const sum = (name: string, labels = {}) => sumSamples(text, name, labels);
    return {
      atMs: performance.now(),
      messages: sum("grpc_server_msg_received_total") + sum("grpc_server_msg_sent_total"),
      authenticates: sum("grpc_server_started_total", { grpc_method: "Authenticate" }),
      renewals: sum("grpc_server_msg_received_total", { grpc_method: "LeaseKeepAlive" }),
      cpuSeconds: cpuSecondsOf(etcd.pid),
    };
  };
  // Not spread: its pid changes with a restart.
  return Object.assign(Object.create(etcd) as TestEtcd, { version: version.etcdserver, counters });
}

export interface BenchRedis extends TestRedis {
  readonly version: string;
}

export async function startBenchRedis(stage: Stage): Promise<BenchRedis> {
  const redis = stage.own(await startTestRedis());
  const version = /^redis_version:(\S+)/m.exec(await redis.cli("INFO", "server"))?.[1] ?? "unknown";
  return Object.assign(Object.create(redis) as TestRedis, { version });
}

function tokenArgs(stage: Stage, tokens: TokenOptions | undefined): readonly string[] {
  if (tokens === undefined) return [];
  if (tokens.type === "simple") return [`--auth-token-ttl=${tokens.ttlSeconds}`];
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const publicFile = join(stage.dir, "token.pub");
  const privateFile = join(stage.dir, "token.key");
  writeFileSync(publicFile, publicKey);
  writeFileSync(privateFile, privateKey, { mode: 0o600 });
  const parts = [`pub-key=${publicFile}`, `priv-key=${privateFile}`, "sign-method=RS256", `ttl=${tokens.ttlSeconds}s`];
  return [`--auth-token=jwt,${parts.join(",")}`];
}
