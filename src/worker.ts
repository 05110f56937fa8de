import { workerOf } from "./cloudflare/worker.ts";
import { createResolver } from "./resolver.ts";

/** What wrangler.toml deploys. */
export default workerOf(createResolver);
