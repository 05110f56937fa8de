export { createWorker } from "./worker.ts";
export type { Worker, WorkerOptions } from "./worker.ts";
export { createCloudflarePlatform } from "./platform.ts";
export type { ExecutionContext } from "./platform.ts";
export { createColoCache } from "./colo-cache.ts";
export type { CacheApi } from "./colo-cache.ts";
