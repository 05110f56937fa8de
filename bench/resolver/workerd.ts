import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { join, relative } from "node:path";
import { startChild, untilReady } from "../../dev/child.ts";
import { findFreePort } from "../../dev/ports.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { Stage } from "../support/stage.ts";
import { bundleColo } from "./bundles.ts";

const READY_BUDGET_MS = 15_000;
const COMPATIBILITY_DATE = "2026-10-01";

export interface WorkerdOptions {
  readonly name: string;
  /** The path of a bundled script. */
  readonly script: string;
  /** The Worker's variables and secrets. */
  readonly env?: Readonly<Record<string, string>>;
  /** Opens V8's inspector. */
  readonly inspector?: boolean;
  /** Of V8, for the whole process. */
  readonly v8Flags?: readonly string[];
  /** Gives it back as soon as its process runs. */
  readonly early?: boolean;
}

export interface Workerd {
  readonly port: number;
  readonly pid: number;
  /** Where one was asked for. */
  readonly inspectorPort: number;
  close(): Promise<void>;
}

let prepared = 0;

/**
 * One isolate of a Worker in a workerd of its own, by workerd's own configuration: no proxy stands before it, and the
 * process' CPU and memory are the Worker's. Its colo cache keeps nothing, as in a data centre where nobody has asked
 * yet. Nothing of the script has run but its top level.
 */
export async function startWorkerd(stage: Stage, options: WorkerdOptions): Promise<Workerd> {
  const { name, script, env = {}, v8Flags = [], inspector = false, early = false } = options;
  const port = await findFreePort(systemRandom);
  const inspectorPort = inspector ? await findFreePort(systemRandom) : 0;
  // Absolute paths would mean something else to Cap'n Proto.
  const fromStage = (path: string) => relative(stage.dir, path);
  const config = join(stage.dir, `${name}-${++prepared}.capnp`);
  writeFileSync(
    config,
    configuration(fromStage(script), fromStage(await bundleColo(stage)), Object.keys(env), port, v8Flags),
  );
  const { default: command } = createRequire(import.meta.resolve("miniflare"))("workerd") as { default: string };
  const child = await startChild({
    name,
    command,
    args: ["serve", config, ...(inspector ? ["--inspector-addr", `127.0.0.1:${inspectorPort}`] : [])],
    env,
    cwd: stage.dir,
    logFile: `${config}.log`,
    clock: stage.clock,
  });
  const worker = stage.own({ port, inspectorPort, pid: child.pid, close: () => child.end() });
  const probe = async () => ((await listens(port)) ? undefined : "It does not listen yet.");
  if (!early) {
    await untilReady(child, { budgetMs: READY_BUDGET_MS, clock: stage.clock, signal: stage.signal, probe });
  }
  return worker;
}

/** Cap'n Proto, as `workerd serve` reads it. Values come from the environment: the file holds no secret. */
function configuration(
  script: string,
  colo: string,
  variables: readonly string[],
  port: number,
  v8Flags: readonly string[],
): string {
  const bindings = variables.map((name) => `(name = "${name}", fromEnvironment = "${name}")`).join(", ");
  const module = (path: string) => `modules = [(name = "worker.js", esModule = embed "${path}")]`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "colo", worker = .colo),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
  v8Flags = [${v8Flags.map((flag) => `"${flag}"`).join(", ")}],
);
const main :Workerd.Worker = (
  ${module(script)},
  compatibilityDate = "${COMPATIBILITY_DATE}",
  bindings = [${bindings}],
  cacheApiOutbound = "colo",
);
const colo :Workerd.Worker = (${module(colo)}, compatibilityDate = "${COMPATIBILITY_DATE}");
`;
}

/** Whether there is somebody at the port, without asking anything. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
