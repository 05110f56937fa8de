import { join } from "node:path";
import { cacheDirOf } from "../../dev/binaries.ts";
import { unpackDebianPackage } from "../../dev/debian.ts";
import { systemClock } from "../../kernel/clock.ts";

/** The folder of Debian's `etcdctl`, for a PATH: what the README tells an operator to run is run with it. */
export async function provideEtcdctl(): Promise<string> {
  const root = await unpackDebianPackage({
    package: "etcd-client",
    commands: ["usr/bin/etcdctl"],
    versionArgs: ["version"],
    cacheDir: cacheDirOf(process.env),
    clock: systemClock,
    progress: (line) => console.error(`[provision] ${line}`),
  });
  return join(root, "usr/bin");
}
