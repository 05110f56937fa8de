/**
 * Runs before a process of ours, by `--import`: collects all garbage at intervals and leaves in a file what is then still in
 * use. A heap between two collections says little of a leak, and a registrar has no business telling its heap.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { HEAP_DIR_VARIABLE, HEAP_EVERY_MS_VARIABLE, heapFileOf, type HeapSample } from "./heap-file.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const dir = process.env[HEAP_DIR_VARIABLE];
const everyMs = Number(process.env[HEAP_EVERY_MS_VARIABLE]);
if (dir === undefined || !(everyMs > 0)) throw new Error("the heap probe is told neither where nor how often");
const file = heapFileOf(dir, process.pid);

setInterval(() => {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  const sample: HeapSample = { usedMb: (heapUsed + external) / 1e6 };
  // At once for who reads it meanwhile.
  const written = join(dir, `${process.pid}.new`);
  writeFileSync(written, JSON.stringify(sample));
  renameSync(written, file);
}, everyMs).unref();
