import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { sumSamples } from "./prometheus.ts";
import { until } from "./until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_BUDGET_MS = 110_000;
const END_BUDGET_MS = 30_000;
/** `dev` starts a part that was killed again after 15 s. */
const RESTART_BUDGET_MS = 60_000;
/** How much of what `dev` says to people is kept for a failure's message. */
const SAID_CHARS_MAX = 8000;

/** The line that `fingerpost dev --json` prints. */
interface DevLine {
  readonly resolver: string;
  readonly registrar: string;
  readonly gateway: string;
  readonly etcd: string;
  readonly redis: string;
  readonly tokens: Readonly<Record<"resolver" | "registrar" | "gateway" | "gatewayReadOnly", string>>;
  readonly pids: Readonly<Record<"etcd" | "redis" | "gateway" | "registrar" | "resolver", number>>;
}

export interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
}

/** `fingerpost dev` as other programs' test suites use it. */
export interface TestDev {
  readonly redis: string;
  readonly pids: DevLine["pids"];
  /** The variables that its screen tells a person to set. */
  readonly environment: Readonly<Record<string, string>>;
  resolver(path: string): Promise<Response>;
  registrar(path: string, options?: CallOptions): Promise<Response>;
  /** Requests and streams that etcd has been asked for so far, by its own metrics. */
  etcdRequests(): Promise<number>;
  /** Waits until a part that was killed answers again. */
  untilRestarted(part: "etcd" | "redis"): Promise<void>;
  close(): Promise<void>;
}

export async function startTestDev({ demo = false }: { readonly demo?: boolean } = {}): Promise<TestDev> {
  const args = ["cli/main.ts", "dev", "--json", ...(demo ? [] : ["--no-demo"])];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-SAID_CHARS_MAX);
  });
  const firstLine = new Promise<string>((resolve) => createInterface(child.stdout).once("line", resolve));
  const timeout = AbortSignal.timeout(START_BUDGET_MS);
  const text = await Promise.race([
    firstLine,
    exited.then((code) => Promise.reject(new Error(`dev ended with ${code} before it was ready:\n${said}`))),
    new Promise<never>((_, reject) => {
      timeout.addEventListener("abort", () => {
        child.kill("SIGTERM");
        reject(new Error(`dev was not ready in ${START_BUDGET_MS} ms:\n${said}`));
      });
    }),
  ]);
  const line = JSON.parse(text) as DevLine;

  function call(base: string, token: string, path: string, { method = "GET", body }: CallOptions = {}) {
    return fetch(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  return {
    redis: line.redis,
    pids: line.pids,
    environment: {
      RESOLVER: line.resolver,
      REGISTRAR: line.registrar,
      FINGERPOST_RESOLVER_TOKEN: line.tokens.resolver,
      FINGERPOST_REGISTRAR_TOKEN: line.tokens.registrar,
    },
    resolver: (path) => call(line.resolver, line.tokens.resolver, path),
    registrar: (path, options) => call(line.registrar, line.tokens.registrar, path, options),
    async etcdRequests() {
      const metrics = await fetch(`${line.etcd}/metrics`);
      return sumSamples(await metrics.text(), "grpc_server_started_total", {});
    },
    async untilRestarted(part) {
      const pid = line.pids[part];
      await until(`${part} has ended`, () => !isRunning(pid));
      await until(`${part} runs again`, () => said.includes(`${part} runs again`), { timeoutMs: RESTART_BUDGET_MS });
    },
    async close() {
      child.kill("SIGTERM");
      const code = await Promise.race([
        exited,
        new Promise<"late">((resolve) => {
          setTimeout(resolve, END_BUDGET_MS, "late").unref();
        }),
      ]);
      if (code !== 0) {
        child.kill("SIGKILL");
        throw new Error(`dev ended with ${code} instead of 0:\n${said}`);
      }
    },
  };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
