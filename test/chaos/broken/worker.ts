import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { applyChanges, type Change } from "./change.ts";

const PROJECT_DIR = fileURLToPath(new URL("../../..", import.meta.url));

interface Loaded {
  readonly contents: string;
  readonly loader: "ts";
}

/** As much of esbuild as is used: the one that wrangler brings, and bundles with itself. */
interface Esbuild {
  build(options: {
    readonly entryPoints: readonly string[];
    readonly outfile: string;
    readonly bundle: true;
    readonly format: "esm";
    readonly target: "es2024";
    readonly conditions: readonly string[];
    readonly plugins: readonly {
      readonly name: string;
      setup(build: {
        onLoad(filter: { readonly filter: RegExp }, load: (file: { readonly path: string }) => Loaded): void;
      }): void;
    }[];
  }): Promise<unknown>;
}

/** The Worker with the changes of a broken build; gives the path of its script. */
export async function bundleBrokenWorker(dir: string, changes: readonly Change[]): Promise<string> {
  const esbuild = createRequire(import.meta.resolve("wrangler"))("esbuild") as Esbuild;
  const outfile = join(dir, "broken-worker.js");
  await esbuild.build({
    entryPoints: [join(PROJECT_DIR, "src/worker.ts")],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    plugins: [
      {
        name: "broken build",
        setup(build) {
          build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const file = relative(PROJECT_DIR, path).replaceAll(sep, "/");
            return { contents: applyChanges(file, readFileSync(path, "utf8"), changes), loader: "ts" };
          });
        },
      },
    ],
  });
  return outfile;
}
