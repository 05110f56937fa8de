/**
 * Loaded before a process of the product by `--import`: makes the changes of the broken build that BROKEN_BUILD names in
 * the sources it loads, so that the product needs no switch for it.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { brokenBuild } from "./builds.ts";
import { applyChanges } from "./change.ts";

const PROJECT_DIR = fileURLToPath(new URL("../../..", import.meta.url));
const { changes } = brokenBuild(process.env["BROKEN_BUILD"] ?? "");

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.startsWith("file:")) return loaded;
    const file = relative(PROJECT_DIR, fileURLToPath(url)).replaceAll(sep, "/");
    if (!changes.some((change) => change.file === file)) return loaded;
    return { ...loaded, source: applyChanges(file, readFileSync(fileURLToPath(url), "utf8"), changes) };
  },
});
