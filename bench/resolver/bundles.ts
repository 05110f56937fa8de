import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleWorker } from "../../dev/bundle.ts";
import { bundleForWorkers } from "../../test/support/workers-bundle.ts";
import type { Stage } from "../support/stage.ts";

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
  const outfile = join(stage.dir, `${name}-${++bundles}.js`);
  await bundleForWorkers(fileURLToPath(new URL(`workers/${name}.ts`, import.meta.url)), outfile, constants);
  return outfile;
}
