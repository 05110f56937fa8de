import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleWorker } from "../../dev/bundle.ts";
import type { Stage } from "../support/stage.ts";

/** As much of esbuild as is used: the one that wrangler brings, and bundles with itself. */
interface Esbuild {
  build(options: {
    readonly entryPoints: readonly string[];
    readonly outfile: string;
    readonly bundle: true;
    readonly format: "esm";
    readonly minify: true;
    readonly target: "es2024";
    readonly conditions: readonly string[];
    readonly define: Readonly<Record<string, string>>;
  }): Promise<unknown>;
}

let bundles = 0;

/** The resolver's script, made once for a whole run. */
export interface ResolverBundle {
  /** The path of what `wrangler deploy` would upload. */
  path(signal: AbortSignal): Promise<string>;
  /** Removes it. */
  close(): void;
}

export function createResolverBundle(): ResolverBundle {
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-bench-bundle-"));
  let made: Promise<string> | undefined;
  return {
    path: (signal) => (made ??= bundleWorker(dir, signal)),
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** What a constant Worker answers everything with. */
export interface Constant {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A Hono Worker that answers everything with the same bytes. */
export async function bundleConstant(stage: Stage, { body, headers }: Constant): Promise<string> {
  return bundle(stage, "constant", { BODY: body, HEADERS: headers });
}

/** A Hono Worker that reads Redis by @upstash/redis for each request, with our options for it or with its defaults. */
export async function bundleRedisReader(stage: Stage): Promise<string> {
  return bundle(stage, "redis-reader", {});
}

export async function bundleColo(stage: Stage): Promise<string> {
  return bundle(stage, "empty-colo", {});
}

async function bundle(stage: Stage, name: string, constants: Readonly<Record<string, unknown>>): Promise<string> {
  const esbuild = createRequire(import.meta.resolve("wrangler"))("esbuild") as Esbuild;
  const outfile = join(stage.dir, `${name}-${++bundles}.js`);
  await esbuild.build({
    entryPoints: [fileURLToPath(new URL(`workers/${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    define: Object.fromEntries(Object.entries(constants).map(([key, value]) => [key, JSON.stringify(value)])),
  });
  return outfile;
}
