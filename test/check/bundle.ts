/**
 * Part of `npm run check`: the Worker's bundle as `wrangler deploy` would upload it holds none of the registrar's
 * code, and stays within its size. Workers start faster the smaller they are, and every cold isolate pays for it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { spawnSync } from "node:child_process";

const GZIP_BYTES_MAX = 45 * 1024;
/** What only the registrar's side of the line depends on, what is Node's, and packages that are too large for a Worker. */
const FOREIGN = ["grpc-status", "etcdserverpb", "etcd3", '"node:', "pino", "UpstashError", "Invalid SemVer"];
const OUT_DIR = ".cache/bundle";

const wrangler = spawnSync("wrangler", ["deploy", "--dry-run", "--outdir", OUT_DIR], {
  stdio: ["ignore", "ignore", "inherit"],
  env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_LOG: "error" },
});
if (wrangler.status !== 0) throw new Error(`wrangler deploy --dry-run ended with ${wrangler.status}`);

const file = readdirSync(OUT_DIR).find((name) => name.endsWith(".js"));
if (file === undefined) throw new Error(`no bundle in ${OUT_DIR}`);
const bundle = readFileSync(join(OUT_DIR, file));

const gzipBytes = gzipSync(bundle, { level: 9 }).byteLength;
const text = bundle.toString("utf8");
const found = FOREIGN.filter((word) => text.includes(word));

console.log(`resolver bundle: ${bundle.byteLength} bytes, ${gzipBytes} gzipped, of at most ${GZIP_BYTES_MAX}`);
if (gzipBytes > GZIP_BYTES_MAX) {
  console.error(`The resolver's bundle is ${gzipBytes - GZIP_BYTES_MAX} bytes over its limit.`);
  process.exitCode = 1;
}
if (found.length > 0) {
  console.error(`The resolver's bundle holds what does not belong there: ${found.join(", ")}.`);
  process.exitCode = 1;
}
