import { rmSync } from "node:fs";
import { join, relative } from "node:path";
import { systemClock } from "../kernel/clock.ts";
import { systemRandom } from "../kernel/random.ts";
import { cacheDirOf } from "./binaries.ts";
import type { Context } from "./context.ts";
import { readExternal } from "./external.ts";
import { createLifetime } from "./lifetime.ts";
import { startLine } from "./line.ts";
import { createPorts } from "./ports.ts";
import { toReport } from "./report.ts";
import { createRunDir } from "./run-dir.ts";
import { renderScreen } from "./screen.ts";
import type { Part } from "./supervisor.ts";

const EXIT_INTERRUPTED = 130;
/** What ends last, in this order; the demo services end before all of it. */
const LAST_STAGES = [["registrar", "resolver"], ["gateway"], ["redis", "etcd"]];

export interface DevOptions {
  /** One line of JSON on standard output when everything is ready, and what is for people on standard error. */
  readonly json: boolean;
  /** Whether the demo services are started. */
  readonly demo: boolean;
  /** Goes on when the process that started this one ends. */
  readonly stay: boolean;
}

/**
 * The composition root of `fingerpost dev`. Resolves once it was asked to end and nothing it started is left; rejects
 * when a part does not start, or the environment is not usable.
 */
export async function runDev({ json, demo, stay }: DevOptions): Promise<void> {
  const { env } = process;
  // Whoever read our output may be gone before us, and that must not keep us from ending what we started.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const people = json ? process.stderr : process.stdout;
  const say = (text: string) => void people.write(`${text}\n`);
  const external = readExternal(env);
  for (const warning of external.warnings) say(warning);

  const parts: Part[] = [];
  const lifetime = createLifetime({
    clock: systemClock,
    stay,
    throughNpm: env["npm_command"] !== undefined,
    onImpatient() {
      for (const { pid } of parts) killIfThere(pid);
      process.exit(EXIT_INTERRUPTED);
    },
  });
  const { signal } = lifetime;
  const cacheDir = cacheDirOf(env);
  const runDir = createRunDir(cacheDir);
  const ports = createPorts(systemRandom);
  const own = (part: Part) => void parts.push(part);
  const context: Context = { runDir, cacheDir, external, ports, clock: systemClock, say, own, signal };
  try {
    const line = await startLine(context, { demo });
    say(renderScreen(line, join(relative(process.cwd(), runDir), "*.log")));
    if (json) process.stdout.write(`${JSON.stringify(toReport(line))}\n`);
    await aborted(signal);
  } catch (error) {
    // Asked to end while starting is no failure.
    if (!signal.aborted) throw error;
  } finally {
    if (signal.aborted) say(`ending, because of: ${String(signal.reason)}`);
    await closeAll(parts);
    ports.release();
    rmSync(runDir, { recursive: true, force: true });
    lifetime.close();
    if (signal.aborted) say("ended");
  }
}

/** Against the needs of each: a demo service wants to deregister, and the registrar to leave its state with etcd. */
async function closeAll(parts: readonly Part[]): Promise<void> {
  const later = new Set(LAST_STAGES.flat());
  const first = parts.filter(({ name }) => !later.has(name));
  const stages = LAST_STAGES.map((names) => parts.filter(({ name }) => names.includes(name)));
  for (const stage of [first, ...stages]) await Promise.all(stage.map((part) => part.close()));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
