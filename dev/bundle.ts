import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const TIMEOUT_MS = 60_000;

const execute = promisify(execFile);

/** Of the checkout, where wrangler.toml is. */
const projectDir = fileURLToPath(new URL("..", import.meta.url));
export const wranglerConfig = join(projectDir, "wrangler.toml");

/** Bundles the Worker as `wrangler deploy` would; gives the path of the script. Rejects with what wrangler said. */
export async function bundleWorker(dir: string, signal: AbortSignal): Promise<string> {
  const outDir = join(dir, "worker");
  mkdirSync(outDir, { recursive: true });
  // By our own Node: a `wrangler` from the PATH might find an older one.
  const wrangler = fileURLToPath(import.meta.resolve("wrangler"));
  const args = [wrangler, "deploy", "--dry-run", "--config", wranglerConfig, "--outdir", outDir];
  const quiet = { WRANGLER_SEND_METRICS: "false", WRANGLER_LOG: "error" };
  // Its log and what it notes for its next run go with ours.
  const env = { ...process.env, ...quiet, WRANGLER_LOG_PATH: dir, TMPDIR: dir };
  await execute(process.execPath, args, { cwd: projectDir, env, signal, timeout: TIMEOUT_MS });
  return join(outDir, "worker.js");
}
