import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { startChild, untilReady } from "../../dev/child.ts";
import { findFreePort } from "../../dev/ports.ts";
import { systemRandom } from "../../kernel/random.ts";
import { isListening, workerdCommand, workerdConfiguration } from "../../test/support/workerd.ts";
import type { Stage } from "../support/stage.ts";
import { bundleColo } from "./bundles.ts";

const READY_BUDGET_MS = 15_000;

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
  const modules = [{ name: "worker.js", path: fromStage(script) }];
  const colo = fromStage(await bundleColo(stage));
  writeFileSync(config, workerdConfiguration({ port, modules, colo, variables: Object.keys(env), v8Flags }));
  const child = await startChild({
    name,
    command: workerdCommand(),
    args: ["serve", config, ...(inspector ? ["--inspector-addr", `127.0.0.1:${inspectorPort}`] : [])],
    env,
    cwd: stage.dir,
    logFile: `${config}.log`,
    clock: stage.clock,
  });
  const worker = stage.own({ port, inspectorPort, pid: child.pid, close: () => child.end() });
  const probe = async () => ((await isListening(port)) ? undefined : "It does not listen yet.");
  if (!early) {
    await untilReady(child, { budgetMs: READY_BUDGET_MS, clock: stage.clock, signal: stage.signal, probe });
  }
  return worker;
}
