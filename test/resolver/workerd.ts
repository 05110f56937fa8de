import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

export interface TestWorker {
  /** Of a socket of workerd's own, without a proxy between. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface TestWorkerOptions {
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where the colo cache is kept: workers given the same one are isolates of one data centre. */
  readonly coloDir?: string;
  /** Requests in ten seconds, by the name of the rate limiting binding. */
  readonly rateLimits?: Readonly<Record<string, number>>;
}

/** The Worker as `wrangler deploy` would upload it. */
export async function buildWorker(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-bundle-"));
  try {
    const child = spawn("wrangler", ["deploy", "--dry-run", "--outdir", dir], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_LOG: "error" },
    });
    const status = await new Promise((resolve, reject) => child.on("error", reject).on("exit", resolve));
    if (status !== 0) throw new Error(`wrangler ended with ${String(status)}`);
    return readFileSync(join(dir, "worker.js"), "utf8");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** One isolate of the built Worker in a real workerd. */
export async function startWorker({ script, env, coloDir, rateLimits = {} }: TestWorkerOptions): Promise<TestWorker> {
  const options = convertV4MiniflareOptions({
    name: "fingerpost",
    modules: true,
    script,
    compatibilityDate: "2026-10-01",
    bindings: { ...env },
    ratelimits: Object.fromEntries(
      Object.entries(rateLimits).map(([name, limit]) => [name, { namespace_id: "1", simple: { limit, period: 10 } }]),
    ),
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
  });
  const miniflare = new Miniflare({
    ...options,
    ...(coloDir === undefined ? {} : { resourcePersistencePath: coloDir }),
  });
  const { origin, port } = await miniflare.unsafeGetDirectURL("fingerpost");
  return { url: origin, port: Number(port), close: () => miniflare.dispose() };
}
