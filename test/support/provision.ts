import { systemClock } from "../../kernel/clock.ts";
import { cacheDirOf, provideEtcd, provideRedis } from "../../dev/binaries.ts";
import { provideEtcdctl } from "./etcdctl.ts";

/** Once before all test files, so that none of them spends its own time on a download. */
export default async function provision(): Promise<void> {
  const options = {
    cacheDir: cacheDirOf(process.env),
    clock: systemClock,
    progress: (line: string) => console.error(`[provision] ${line}`),
  };
  await provideEtcd(options);
  await provideRedis(options);
  await provideEtcdctl();
}
