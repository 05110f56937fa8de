import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { inject } from "vitest";
import { bundleWorker } from "../../dev/bundle.ts";
import { messageOf } from "../../kernel/errors.ts";
import { until } from "../support/until.ts";

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

/** On a busy machine, where another file builds it. */
const BUILT_WITHIN_MS = 50_000;

/** What became of the one build of a run. */
type Built = { readonly script: string } | { readonly failure: string };

/** The Worker as `wrangler deploy` would upload it: built by the first file of a run that asks, for all of them. */
export async function buildWorker(): Promise<string> {
  const dir = join(inject("runDir"), "worker-build");
  const told = join(dir, "built.json");
  // It names what it has made: nothing where another file was first.
  if (mkdirSync(dir, { recursive: true }) !== undefined) {
    const built = await build(dir);
    writeFileSync(`${told}.part`, JSON.stringify(built));
    renameSync(`${told}.part`, told);
  }
  await until("the Worker is built", () => existsSync(told), { timeoutMs: BUILT_WITHIN_MS });
  const built = JSON.parse(readFileSync(told, "utf8")) as Built;
  if ("failure" in built) throw new Error(built.failure);
  return built.script;
}

async function build(dir: string): Promise<Built> {
  try {
    return { script: readFileSync(await bundleWorker(dir, new AbortController().signal), "utf8") };
  } catch (error) {
    return { failure: messageOf(error) };
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
