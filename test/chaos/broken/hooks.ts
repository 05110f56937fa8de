import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { applyChanges, type Change } from "./change.ts";

const PROJECT_DIR = fileURLToPath(new URL("../../..", import.meta.url));

/** Makes these changes in the sources that this process loads from now on. */
export function changeWhileLoading(changes: readonly Change[]): void {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.startsWith("file:")) return loaded;
      const file = relative(PROJECT_DIR, fileURLToPath(url)).replaceAll(sep, "/");
      if (!changes.some((change) => change.file === file)) return loaded;
      return { ...loaded, source: applyChanges(file, readFileSync(fileURLToPath(url), "utf8"), changes) };
    },
  });
}
