import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Report } from "../../dev/report.ts";
import { sumSamples } from "./prometheus.ts";
import { until } from "./until.ts";

/** A first start fills a cold disk cache, with other tests running beside it. */
const READY_WITHIN_MS = 90_000;
/** 15 s until a part is started again, and its start. */
const RESTARTED_WITHIN_MS = 60_000;

export const PROJECT_DIR = fileURLToPath(new URL("../..", import.meta.url));

export interface DevOptions {
  /** Left out: without the demo services. */
  readonly demo?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** What is run instead of `node cli/main.ts dev --json`, with these arguments after it. */
  readonly command?: readonly [string, ...string[]];
}

interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
}

export interface TestDev extends Omit<Report, "resolver" | "registrar" | "pids"> {
  /** The process that was started, be it dev itself or what was told to start it. */
  readonly child: ChildProcess;
  readonly report: Report;
  /** As they are now: a part that was started again has another. */
  readonly pids: Record<keyof Report["pids"], number>;
  /** What the screen tells people to export. */
  readonly environment: Readonly<Record<string, string>>;
  stdout(): string;
  stderr(): string;
  /** Calls the registrar with its token. */
  registrar(path: string, options?: CallOptions): Promise<Response>;
  /** Asks the resolver with its token. */
  resolver(path: string): Promise<Response>;
  /** Everything that etcd was ever asked, by its own count of calls and messages. */
  etcdRequests(): Promise<number>;
  /** Resolves once a part that was killed runs again: once for each kill. */
  untilRestarted(name: keyof Report["pids"]): Promise<void>;
  /** Ends it as Ctrl-C would; resolves with its exit code. */
  close(): Promise<number | null>;
}

export interface LaunchedDev {
  readonly child: ChildProcess;
  readonly running: () => boolean;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** `fingerpost dev --json` as a process, which has only just been started. */
export function launchTestDev(options: DevOptions = {}): LaunchedDev {
  const { demo = false, env = {}, command = [process.execPath, "cli/main.ts", "dev", "--json"] } = options;
  const [program, ...args] = demo ? command : [...command, "--no-demo"];
  const child = spawn(program, args, {
    cwd: PROJECT_DIR,
    env: { ...withoutOurs(process.env), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));

  const running = () => child.exitCode === null && child.signalCode === null;
  return { child, running, stdout: () => stdout, stderr: () => stderr };
}

/** `fingerpost dev --json` as a process, ready. */
export async function startTestDev(options: DevOptions = {}): Promise<TestDev> {
  const { child, running, stdout, stderr } = launchTestDev(options);
  await until("dev is ready", () => !running() || stdout().includes("\n"), { timeoutMs: READY_WITHIN_MS }).catch(
    (error: unknown) => {
      child.kill("SIGTERM");
      throw new Error(`${String(error)}\n${stderr()}`);
    },
  );
  if (!stdout().includes("\n")) throw new Error(`dev ended with ${child.exitCode} before it was ready:\n${stderr()}`);

  const report = JSON.parse(stdout()) as Report;
  const restarts = (name: string) => [...stderr().matchAll(new RegExp(`^${name} runs again, pid (\\d+)$`, "gm"))];
  const awaited = new Map<string, number>();
  const call = (base: string, token: string, path: string, { method = "GET", body }: CallOptions = {}) =>
    fetch(base + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  return {
    ...report,
    child,
    report,
    get pids() {
      const now = Object.entries(report.pids).map(([name, pid]) => [name, Number(restarts(name).at(-1)?.[1] ?? pid)]);
      return Object.fromEntries(now) as Record<keyof Report["pids"], number>;
    },
    environment: exportsOf(stderr()),
    stdout,
    stderr,
    registrar: (path, callOptions) => call(report.registrar, report.tokens.registrar, path, callOptions),
    resolver: (path) => call(report.resolver, report.tokens.resolver, path),
    async etcdRequests() {
      const response = await fetch(`${report.etcd}/metrics`);
      const text = await response.text();
      return sumSamples(text, "grpc_server_started_total", {}) + sumSamples(text, "grpc_server_msg_received_total", {});
    },
    async untilRestarted(name) {
      const before = awaited.get(name) ?? 0;
      await until(`${name} runs again`, () => restarts(name).length > before, { timeoutMs: RESTARTED_WITHIN_MS });
      awaited.set(name, before + 1);
    },
    async close() {
      if (running()) {
        const exited = once(child, "exit");
        child.kill("SIGINT");
        await exited;
      }
      return child.exitCode;
    },
  };
}

/** A developer's own settings are not to change what is tested. */
function withoutOurs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = (name: string) => name === "FINGERPOST_CACHE_DIR" || !/^(FINGERPOST|UPSTASH)_/.test(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => kept(name)));
}

function exportsOf(screen: string): Record<string, string> {
  const lines = [...screen.matchAll(/^ {4}export (.+)$/gm)].map((match) => match[1] ?? "");
  const pairs = lines.flatMap((line) => line.split(" ")).map((pair) => pair.split(/=(.*)/s));
  return Object.fromEntries(pairs.map(([name = "", value = ""]) => [name, value]));
}
