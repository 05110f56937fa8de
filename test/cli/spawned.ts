import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { bareEnvironment } from "../support/bare-environment.ts";
import { PROJECT_DIR } from "../support/dev.ts";

/** A `fingerpost` that runs until it is stopped. */
export interface Spawned {
  /** The next line of its standard output; "undefined" once there is none. */
  line(): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Its exit code; null where a signal ended it. */
  readonly exited: Promise<number | null>;
}

/**
 * Starts `fingerpost` with these arguments and with a bare environment. It is gone when
 * the test is over, also when that failed: it has this process' standard error, and a run waits for whoever has it open.
 */
export function spawnFingerpost(
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Spawned {
  const child = spawn(process.execPath, [join(PROJECT_DIR, "cli/main.ts"), ...args], {
    cwd,
    env: { ...bareEnvironment(), ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    line: async () => String((await lines.next()).value),
    kill: (signal) => void child.kill(signal),
    exited,
  };
}
