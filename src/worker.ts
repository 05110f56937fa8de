import { createWorker } from "./cloudflare/worker.ts";

/** What wrangler.toml deploys. */
export default createWorker();
