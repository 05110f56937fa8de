import { FingerpostError } from "../../kernel/errors.ts";
import { unrestrictedCaller, type Caller } from "./caller.ts";
import { parseScope, SCOPE_RULE, SCOPES_MAX, scopedCaller, type Scope } from "./scopes.ts";

export const KEY_RULE = "must be name=sha256, the SHA-256 as 64 hex digits, and may go on with @namespace/service+…";

export interface AccessKey {
  /** Told in logs instead of the key. */
  readonly name: string;
  /** SHA-256 of the bearer token. */
  readonly digest: Uint8Array;
  /** What it opens; left out, everything. */
  readonly scopes?: readonly Scope[];
}

/**
 * Reads `name=sha256 in hex`, or `name=sha256@namespace/service+namespace/service` with scopes. What is wrong is told
 * by the key's name: the rest may be a secret in the wrong place.
 */
export function parseAccessKey(text: string): AccessKey | { readonly problem: string } {
  const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})=([0-9a-f]{64})(?:@(.*))?$/i.exec(text.trim());
  const [, name, hex, scopesText] = match ?? [];
  if (name === undefined || hex === undefined) return { problem: KEY_RULE };
  const digest = Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  if (scopesText === undefined) return { name, digest };
  const scopes: Scope[] = [];
  for (const [index, part] of scopesText.split("+").entries()) {
    const scope = parseScope(part);
    if (!scope) return { problem: `scope ${index + 1} of key "${name}" ${SCOPE_RULE}` };
    scopes.push(scope);
  }
  if (scopes.length > SCOPES_MAX) return { problem: `key "${name}" has more than ${SCOPES_MAX} scopes` };
  return { name, digest, scopes };
}

/** As `parseAccessKey`, for programs. Throws `invalid_argument`. */
export function accessKey(text: string): AccessKey {
  const key = parseAccessKey(text);
  if ("problem" in key) throw new FingerpostError("invalid_argument", `An access key is not valid: ${key.problem}.`);
  return key;
}

export function callerOf({ name, scopes }: AccessKey): Caller {
  return scopes ? scopedCaller(name, scopes) : unrestrictedCaller(name);
}
