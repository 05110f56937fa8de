import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Fleet, FleetOptions } from "../fleet/fleet.ts";
import type { BrokenBuild } from "./builds.ts";
import { bundleBrokenWorker } from "./worker.ts";

export interface PreparedBuild {
  /** What a fleet is started with. */
  readonly fleet: Pick<FleetOptions, "nodeImports" | "workerScript">;
  /** Tells the build where etcd is. */
  started(fleet: Fleet): void;
  /** Tells it that the phase of faults has begun: one that breaks everything at once would not get so far. */
  faultsBegin(): void;
}

/** Makes a fleet run a broken build, in all of its processes. */
export async function prepareBroken(build: BrokenBuild, dir: string): Promise<PreparedBuild> {
  const etcdUrlFile = join(dir, "etcd-url");
  const modules = [fileURLToPath(new URL("preload.ts", import.meta.url))];
  const fromFile = join(dir, "faults-began");
  const env = { BROKEN_FROM_FILE: fromFile, BROKEN_BUILD: build.name, BROKEN_ETCD_URL_FILE: etcdUrlFile };
  return {
    fleet: { nodeImports: [{ modules, env }], workerScript: await bundleBrokenWorker(dir, build.changes) },
    faultsBegin: () => writeFileSync(fromFile, ""),
    started: ({ etcd }) => writeFileSync(etcdUrlFile, etcd.members[0]?.url ?? ""),
  };
}
