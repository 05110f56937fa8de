import { createCheckedResolver } from "../checked-resolver.ts";
import { workerOf, type Worker, type WorkerOptions } from "./worker.ts";

/** A Worker of your own, which may answer other paths as well: see docs/portability.md. */
export function createWorker(options?: WorkerOptions): Worker {
  return workerOf(createCheckedResolver, options);
}

export type { Worker, WorkerOptions } from "./worker.ts";
export { createCloudflarePlatform } from "./platform.ts";
export type { ExecutionContext } from "./platform.ts";
export { createColoCache } from "./colo-cache.ts";
export type { CacheApi } from "./colo-cache.ts";
