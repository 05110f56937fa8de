import { readFileSync } from "node:fs";
import { join } from "node:path";

export const HEAP_DIR_VARIABLE = "SOAK_HEAP_DIR";
export const HEAP_EVERY_MS_VARIABLE = "SOAK_HEAP_EVERY_MS";

export interface HeapSample {
  /** Objects and what they hold outside of the heap, right after a full collection. */
  readonly usedMb: number;
}

export function heapFileOf(dir: string, pid: number): string {
  return join(dir, `${pid}.json`);
}

/** Undefined before the process' first collection, and where it has none. */
export function readHeap(dir: string, pid: number): number | undefined {
  try {
    return (JSON.parse(readFileSync(heapFileOf(dir, pid), "utf8")) as HeapSample).usedMb;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
