import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Clock } from "../kernel/clock.ts";
import { startChild, untilReady, type Child } from "./child.ts";

/** How long a process of ours may take until it is ready; a registrar first fills Redis. */
const READY_BUDGET_MS = 45_000;
const PROBE_TIMEOUT_MS = 2000;

export interface HttpPartOptions {
  readonly name: string;
  /** A module beside this one, as Node is to run it, with its arguments. */
  readonly module: string;
  readonly args: readonly string[];
  /** Everything secret goes this way: arguments show in process lists. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly runDir: string;
  readonly url: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told why a start takes long. */
  readonly onSlow: (reason: string) => void;
}

/** Starts one of our own processes on Node and waits until its /readyz says so. */
export async function startHttpPart(options: HttpPartOptions): Promise<Child> {
  const { name, runDir, url, clock, signal, onSlow } = options;
  // A folder of its own: no fingerpost.toml of the reader's is found there, and what it leaves goes with the run.
  const cwd = join(runDir, name);
  mkdirSync(cwd, { recursive: true });
  const child = await startChild({
    name,
    command: process.execPath,
    args: [fileURLToPath(new URL(options.module, import.meta.url)), ...options.args],
    env: { HOME: process.env["HOME"], LANG: process.env["LANG"], TMPDIR: cwd, ...options.env },
    cwd,
    logFile: join(runDir, `${name}.log`),
    ipc: true,
    clock,
  });
  await untilReady(child, { budgetMs: READY_BUDGET_MS, clock, signal, onSlow, probe: createProbe(url) });
  return child;
}

/** Asks /readyz, whose problem says what is waited for. */
function createProbe(url: string): () => Promise<string | undefined> {
  let reason = "It does not answer yet.";
  return async () => {
    try {
      const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
      const text = await response.text();
      if (response.ok) return undefined;
      reason = detailOf(text) ?? `It answers ${response.status}.`;
    } catch {
      // Not listening yet, or too busy to answer in time: then what it said last is still the best that is known.
    }
    return reason;
  };
}

function detailOf(problem: string): string | undefined {
  try {
    const { detail } = JSON.parse(problem) as { readonly detail?: string };
    return detail?.replace(/^Not ready\. /, "");
  } catch {
    return undefined;
  }
}
