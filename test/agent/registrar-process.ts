import { spawn } from "node:child_process";
import { once } from "node:events";
import { findFreePort } from "../../dev/ports.ts";
import { systemRandom } from "../../kernel/random.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import type { TestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";

export interface RegistrarProcess {
  readonly url: string;
  readonly pid: number;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Its exit code, once it has ended; null by a signal. */
  ended(): Promise<number | null>;
}

export interface ProcessSettings {
  readonly stateDir: string;
  readonly leaseTtlSeconds: number;
}

/** `fingerpost registrar` in the role of an agent, as a process of its own, which has only just been started. */
export async function launchRegistrar(etcd: TestEtcd, settings: ProcessSettings): Promise<RegistrarProcess> {
  const port = await findFreePort(systemRandom);
  const child = spawn(process.execPath, ["cli/main.ts", "registrar", "--role", "agent"], {
    cwd: PROJECT_DIR,
    env: {
      PATH: process.env["PATH"],
      FINGERPOST_ETCD_ENDPOINTS: etcd.endpoint,
      FINGERPOST_ETCD_USERNAME: etcd.user.username,
      FINGERPOST_ETCD_PASSWORD: etcd.user.password,
      FINGERPOST_LISTEN: `127.0.0.1:${port}`,
      FINGERPOST_LEASE_TTL_SECONDS: String(settings.leaseTtlSeconds),
      FINGERPOST_STATE_DIR: settings.stateDir,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const exit = once(child, "exit");
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    async ended() {
      await exit;
      return child.exitCode;
    },
  };
}

/** The same, ready. */
export async function startRegistrarProcess(etcd: TestEtcd, settings: ProcessSettings): Promise<RegistrarProcess> {
  const registrar = await launchRegistrar(etcd, settings);
  await until("the registrar is ready", async () => (await fetch(`${registrar.url}/readyz`)).ok).catch(
    (error: unknown) => {
      registrar.kill("SIGKILL");
      throw new Error(`${String(error)}\n${registrar.stderr()}`);
    },
  );
  return registrar;
}
