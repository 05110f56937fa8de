import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { cacheDirOf } from "../../../dev/binaries.ts";
import { startChild } from "../../../dev/child.ts";
import { PROJECT_DIR } from "../../support/dev.ts";
import { makeProcess, type Context } from "./context.ts";
import type { FleetProcess, NodeKind } from "./fleet.ts";

const PROBE_TIMEOUT_MS = 2000;

export interface NodeProcessOptions<Kind extends NodeKind> {
  readonly name: string;
  readonly kind: Kind;
  /** Of `fingerpost`. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Modules that run before it, beside those of a broken build. */
  readonly imports?: (life: number) => { readonly modules: readonly string[]; readonly env: Record<string, string> };
  readonly logBy?: "file" | "pipe";
}

/** `fingerpost`, as one of its processes on Node. Not started yet. */
export async function makeNodeProcess<Kind extends NodeKind>(context: Context, given: NodeProcessOptions<Kind>) {
  const { name, kind, args, logBy = "file" } = given;
  const port = await context.ports.claimAny();
  const url = `http://127.0.0.1:${port}`;
  // A folder of its own: no configuration of the reader's is found there.
  const cwd = join(context.dir, name);
  mkdirSync(cwd, { recursive: true });
  const logFile = join(context.dir, `${name}.log`);
  const broken = (context.options.nodeImports ?? []).filter(({ kinds }) => kinds?.includes(kind) ?? true);
  return makeProcess<Kind>(context, {
    name,
    kind,
    url,
    logFile,
    launch(life) {
      const imports = [...broken, given.imports?.(life) ?? { modules: [], env: {} }];
      const modules = imports.flatMap((one) => one.modules.map((module) => `--import=${urlOf(module)}`));
      return startChild({
        name,
        command: process.execPath,
        args: [...modules, join(PROJECT_DIR, "cli/main.ts"), ...args],
        env: {
          HOME: process.env["HOME"],
          LANG: process.env["LANG"],
          TMPDIR: cwd,
          // What Node makes of the sources is made once for all of them.
          NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? join(cacheDirOf(process.env), "compiled"),
          FINGERPOST_LISTEN: `127.0.0.1:${port}`,
          ...given.env,
          ...context.options.env?.[kind],
          ...Object.assign({}, ...imports.map((one) => one.env ?? {})),
        },
        cwd,
        logFile,
        logBy,
        clock: context.clock,
      });
    },
    probe: () => whyNotAsked(`${url}/healthz`),
  });
}

/** In a sentence; undefined where it answers with success. */
export async function whyNotAsked(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    const text = await response.text();
    return response.ok ? undefined : `It answers ${response.status}: ${text}`;
  } catch {
    return `It does not answer at ${url}.`;
  }
}

export function portOf({ url }: FleetProcess): number {
  return Number(new URL(url).port);
}

function urlOf(module: string): string {
  return module.includes("://") ? module : pathToFileURL(module).href;
}
