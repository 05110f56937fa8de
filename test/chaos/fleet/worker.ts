import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { startChild } from "../../../dev/child.ts";
import { bundleWorker } from "../../../dev/bundle.ts";
import { workerdCommand, workerdConfiguration } from "../../support/workerd.ts";
import { bundleForWorkers } from "../../support/workers-bundle.ts";
import { makeProcess, type Context } from "./context.ts";
import { whyNotAsked } from "./node-process.ts";

const CLOCK_TIMEOUT_MS = 5000;
/** The Worker that is deployed, with a clock that can be set off. */
const ENTRY = `import { withClock } from "clock.js";
import worker from "worker.js";
export default withClock(worker);
`;

export interface WorkerScripts {
  readonly entry: string;
  readonly clock: string;
  readonly worker: string;
  /** Behind the Cache API. */
  readonly colo: string;
}

/** What workerd is to run, in a folder of the run. */
export async function makeWorkerScripts({ dir: runDir, options }: Context): Promise<WorkerScripts> {
  const dir = join(runDir, "scripts");
  mkdirSync(dir, { recursive: true });
  const scripts = { entry: join(dir, "entry.js"), clock: join(dir, "clock.js"), colo: join(dir, "colo.js") };
  writeFileSync(scripts.entry, ENTRY);
  const moduleOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const [worker] = await Promise.all([
    options.workerScript ?? bundleWorker(dir, options.signal ?? new AbortController().signal),
    bundleForWorkers(moduleOf("clock-worker.ts"), scripts.clock),
    bundleForWorkers(moduleOf("../../../bench/resolver/workers/empty-colo.ts"), scripts.colo),
  ]);
  return { ...scripts, worker };
}

/** The resolver as one isolate in a workerd of its own. Not started yet. */
export async function makeWorker(context: Context, scripts: WorkerScripts, given: Readonly<Record<string, string>>) {
  const { dir: runDir, clock, options } = context;
  const name = "worker";
  const port = await context.ports.claimAny();
  const url = `http://127.0.0.1:${port}`;
  const cwd = join(runDir, name);
  mkdirSync(cwd, { recursive: true });
  const env = { ...given, ...options.env?.resolver };
  const { v8Flags = [], inspectorPort } = options.workerd ?? {};
  const inspector = inspectorPort === undefined ? [] : ["--inspector-addr", `127.0.0.1:${inspectorPort}`];
  const config = join(cwd, "worker.capnp");
  // Absolute paths would mean something else to Cap'n Proto.
  const path = (script: string) => relative(cwd, script);
  writeFileSync(
    config,
    workerdConfiguration({
      port,
      modules: [
        { name: "entry.js", path: path(scripts.entry) },
        { name: "clock.js", path: path(scripts.clock) },
        { name: "worker.js", path: path(scripts.worker) },
      ],
      colo: path(scripts.colo),
      variables: Object.keys(env),
      v8Flags,
    }),
  );
  const logFile = join(runDir, `${name}.log`);
  return makeProcess(context, {
    name,
    kind: "resolver",
    url,
    logFile,
    launch: () =>
      startChild({ name, command: workerdCommand(), args: ["serve", config, ...inspector], env, cwd, logFile, clock }),
    probe: () => whyNotAsked(`${url}/healthz`),
  });
}

export async function setWorkerClock(url: string, offsetMs: number): Promise<void> {
  const signal = AbortSignal.timeout(CLOCK_TIMEOUT_MS);
  const response = await fetch(`${url}/chaos/clock-offset`, { method: "POST", body: String(offsetMs), signal });
  if ((await response.text()) !== "set") throw new Error("the clock of the Worker could not be set");
}
