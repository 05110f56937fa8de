import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { systemClock } from "../../kernel/clock.ts";
import { cacheDirOf, provideEtcd, provideRedis } from "../../dev/binaries.ts";
import { provideEtcdctl } from "./etcdctl.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A folder of this run, for what its files make once for all of them. */
    readonly runDir: string;
  }
}

/** Once before all test files, so that none of them spends its own time on a download. */
export default async function provision(project: TestProject): Promise<void> {
  const options = {
    cacheDir: cacheDirOf(process.env),
    clock: systemClock,
    progress: (line: string) => console.error(`[provision] ${line}`),
  };
  await provideEtcd(options);
  await provideRedis(options);
  await provideEtcdctl();
  const runDir = mkdtempSync(join(tmpdir(), "fingerpost-run-"));
  project.provide("runDir", runDir);
  // A hundred processes of ours are started: what Node makes of the sources is made once.
  process.env["NODE_COMPILE_CACHE"] ??= join(runDir, "compiled");
  const remove = () => rmSync(runDir, { recursive: true, force: true });
  // The sources may have changed.
  project.onTestsRerun(() => {
    remove();
    mkdirSync(runDir);
  });
  // Not in a teardown: the processes that run the files end after that, and leave there what they have compiled.
  process.once("exit", remove);
}
