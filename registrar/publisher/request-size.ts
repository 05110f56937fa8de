import type { Write } from "./commit-script.ts";

/**
 * Of one request to Redis: Lua runs one script at a time, and the services that speak REST take requests of a bounded
 * size (10 MB and more). A snapshot that is larger by itself goes alone.
 */
export const REQUEST_BYTES_MAX = 1024 * 1024;
export const REQUEST_KEYS_MAX = 200;
/** Kept free in every request: for the script, and for the head with its ring. */
const OVERHEAD_BYTES = 32 * 1024;
/** Quotes and commas around a key, a value and an expiry. */
const ARGUMENT_BYTES = 24;

/** The writes of one request, as they are put together. */
export interface Batch {
  /** Whether `write` has a place beside those already in it. An empty batch takes any. */
  fits(write: Write): boolean;
  add(write: Write): void;
}

export function createBatch(): Batch {
  let count = 0;
  let bytes = OVERHEAD_BYTES;
  return {
    fits: (write) => count === 0 || (count < REQUEST_KEYS_MAX && bytes + sizeOf(write) <= REQUEST_BYTES_MAX),
    add(write) {
      count++;
      bytes += sizeOf(write);
    },
  };
}

/** Whether a request of this write alone is larger than a request should be. */
export function isOversized(write: Write): boolean {
  return OVERHEAD_BYTES + sizeOf(write) > REQUEST_BYTES_MAX;
}

/** In a REST request, which is the larger kind: there a document is a JSON string within JSON. */
function sizeOf({ key, value }: Write): number {
  let escapes = 0;
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code === 0x22 || code === 0x5c) escapes++;
  }
  return Buffer.byteLength(key) + Buffer.byteLength(value) + escapes + ARGUMENT_BYTES;
}
