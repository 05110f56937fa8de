import { createRequire } from "node:module";

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

/** Bundles a module for workerd. What is named in `constants` stands there as a value. */
export async function bundleForWorkers(
  entry: string,
  outfile: string,
  constants: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const esbuild = createRequire(import.meta.resolve("wrangler"))("esbuild") as Esbuild;
  await esbuild.build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    define: Object.fromEntries(Object.entries(constants).map(([key, value]) => [key, JSON.stringify(value)])),
  });
}
