import { findFreePort } from "../../dev/ports.ts";
import { startHttpPart } from "../../dev/http-part.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { BenchEtcd } from "./servers.ts";
import type { Stage } from "./stage.ts";

export interface RegistrarOptions {
  readonly name: string;
  readonly role: "agent" | "publisher" | "both";
  readonly etcd: BenchEtcd;
  readonly redisUrl?: string;
  readonly leaseTtlSeconds?: number;
  /** The same port, and so the same name in etcd, as an earlier process had; any free one otherwise. */
  readonly port?: number;
}

export interface RegistrarProcess {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** From the start of the process until /readyz said so. */
  readonly readyMs: number;
  /** Sends the signal, and waits for the end. */
  kill(signal: NodeJS.Signals): Promise<void>;
  close(): Promise<void>;
}

/** `fingerpost registrar` as a process of its own, ready. */
export async function startRegistrarProcess(stage: Stage, options: RegistrarOptions): Promise<RegistrarProcess> {
  const { name, role, etcd, redisUrl, leaseTtlSeconds } = options;
  const port = options.port ?? (await findFreePort(systemRandom));
  const url = `http://127.0.0.1:${port}`;
  const startedAtMs = performance.now();
  const child = await startHttpPart({
    name,
    module: "../cli/main.ts",
    args: ["registrar", "--role", role],
    env: {
      FINGERPOST_ETCD_ENDPOINTS: etcd.endpoint,
      FINGERPOST_ETCD_USERNAME: etcd.user.username,
      FINGERPOST_ETCD_PASSWORD: etcd.user.password,
      FINGERPOST_REDIS_URL: role === "agent" ? undefined : redisUrl,
      FINGERPOST_LEASE_TTL_SECONDS: leaseTtlSeconds === undefined ? undefined : String(leaseTtlSeconds),
      FINGERPOST_LISTEN: `127.0.0.1:${port}`,
      FINGERPOST_LOG_LEVEL: "warn",
      // Set in a run that shows what signing costs.
      FINGERPOST_SIGNING_KEY: process.env["FINGERPOST_SIGNING_KEY"],
      // Not set in a run that counts: a first start on a host has none.
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
    },
    runDir: stage.dir,
    url,
    clock: stage.clock,
    signal: stage.signal,
    onSlow: (reason) => stage.say(`${name} is not ready yet: ${reason}`),
  });
  const readyMs = performance.now() - startedAtMs;
  return stage.own({
    url,
    port,
    pid: child.pid,
    readyMs,
    async kill(signal: NodeJS.Signals) {
      child.kill(signal);
      await child.exited;
    },
    close: () => child.end(),
  });
}
