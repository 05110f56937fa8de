import type { Caller } from "./caller.ts";
import { unrestrictedCaller } from "./caller.ts";

export interface AccessKey {
  /** Told in logs instead of the key. */
  readonly name: string;
  /** SHA-256 of the bearer token. */
  readonly digest: Uint8Array;
}

/** Reads `name=sha256 in hex`; undefined when it is not of that form. */
export function parseAccessKey(text: string): AccessKey | undefined {
  const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})=([0-9a-f]{64})$/i.exec(text.trim());
  const [, name, hex] = match ?? [];
  if (name === undefined || hex === undefined) return undefined;
  return { name, digest: Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)) };
}

export function callerOf(key: AccessKey): Caller {
  return unrestrictedCaller(key.name);
}
