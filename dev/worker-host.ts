import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { shutdownSignal } from "../node/shutdown.ts";
import { hasParentDeathSignal } from "./child.ts";

/**
 * A process of `fingerpost dev`: the resolver in workerd, as wrangler.toml configures it, with what a deployment keeps as
 * secrets from the environment. Ends on SIGTERM, and when the process that started it is gone.
 */
const SECRETS = ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "FINGERPOST_KEYS"] as const;
/** Set where this run signs what it publishes. */
const PUBLIC_KEYS = "FINGERPOST_PUBLIC_KEYS";

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** workerd outlives a host that is killed, and keeps its port, unless the kernel is told to end it as well. */
function bindWorkerdToOurLife(wrapper: string): void {
  if (!hasParentDeathSignal()) return;
  // The path that miniflare would start; it takes another one from the environment alone.
  const { default: workerd } = createRequire(import.meta.resolve("miniflare"))("workerd") as { default: string };
  writeFileSync(wrapper, `#!/bin/sh\nexec setpriv --pdeathsig KILL -- '${workerd}' "$@"\n`, { mode: 0o700 });
  process.env["MINIFLARE_WORKERD_PATH"] = wrapper;
}

const signal = shutdownSignal();
const scriptPath = required("FINGERPOST_DEV_BUNDLE");
bindWorkerdToOurLife(join(dirname(scriptPath), "workerd"));
const { workerOptions } = unstable_getMiniflareWorkerOptions(required("FINGERPOST_DEV_WRANGLER_CONFIG"));
// Rules for files that the bundle has already taken in.
const { modulesRules: _rules, bindings, ...options } = workerOptions;
const publicKeys = process.env[PUBLIC_KEYS];
const secrets = Object.fromEntries(SECRETS.map((name) => [name, required(name)]));
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    ...options,
    name: "fingerpost",
    rootPath: dirname(scriptPath),
    modules: true,
    scriptPath,
    bindings: Object.assign({}, bindings, secrets, publicKeys === undefined ? {} : { [PUBLIC_KEYS]: publicKeys }),
    host: "127.0.0.1",
    port: Number(required("FINGERPOST_DEV_PORT")),
    // Without this, miniflare asks a server on the internet for what `request.cf` is to hold.
    cf: false,
  }),
);
await miniflare.ready;
const end = () => void miniflare.dispose().then(() => process.exit(0));
if (signal.aborted) end();
else signal.addEventListener("abort", end, { once: true });
