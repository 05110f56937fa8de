import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));

/** The example of docs/portability.md that is marked with this word. */
export function exampleOf(word: string): string {
  const text = readFileSync(join(project, "docs/portability.md"), "utf8");
  const [, example] = new RegExp(`^\`\`\`js ${word}\n(.*?)^\`\`\`$`, "ms").exec(text) ?? [];
  if (example === undefined) throw new Error(`docs/portability.md has no example marked ${word}`);
  return example;
}

/** Packages of the user's own that the examples import, beside fingerpost. */
export function addPackages(folder: string): void {
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "@hono"));
  for (const name of ["hono", "@hono/node-server"])
    symlinkSync(join(project, "node_modules", name), join(modules, name));
}

/** A Worker of the user's own, bundled as `wrangler deploy` would. */
export async function bundle(folder: string, script: string): Promise<string> {
  writeFileSync(join(folder, "own-worker.mjs"), script);
  writeFileSync(
    join(folder, "wrangler.toml"),
    'name = "own"\nmain = "own-worker.mjs"\ncompatibility_date = "2026-10-01"\nsend_metrics = false\n',
  );
  const child = spawn("wrangler", ["deploy", "--dry-run", "--outdir", "bundle"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_LOG: "error" },
  });
  const [status] = (await once(child, "exit")) as [number];
  if (status !== 0) throw new Error(`wrangler ended with ${status}`);
  return readFileSync(join(folder, "bundle/own-worker.js"), "utf8");
}
