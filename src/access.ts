import type { Clock } from "../kernel/clock.ts";
import { FingerpostError } from "../kernel/errors.ts";
import { bearerToken, digestsEqual, sha256 } from "../kernel/secret.ts";
import { createBoundedMap } from "./bounded-map.ts";

/** Verified tokens that are remembered, and for how long: a hash for every request would cost more than the lookup. */
const TOKENS_MAX = 1000;
const TOKEN_MS_MAX = 60_000;

export interface AccessKey {
  /** Told in logs instead of the key. */
  readonly name: string;
  /** SHA-256 of the bearer token. */
  readonly digest: Uint8Array;
}

/** Who may ask: everyone, or the holder of one of the keys. */
export type AccessRule = { readonly type: "open" } | { readonly type: "keys"; readonly keys: readonly AccessKey[] };

/** Checks an Authorization header. Throws `unauthenticated`, at once or by the promise; nothing comes back otherwise. */
export type AccessCheck = (authorization: string | undefined) => undefined | Promise<undefined>;

export function createAccessCheck(rule: AccessRule, clock: Clock): AccessCheck {
  if (rule.type === "open") return () => undefined;
  const { keys } = rule;
  const verifiedAt = createBoundedMap<string, number>({ entriesMax: TOKENS_MAX });

  async function verify(token: string): Promise<undefined> {
    const digest = await sha256(token);
    // All are compared, so that the time does not tell which one matched.
    const known = keys.filter((key) => digestsEqual(key.digest, digest));
    if (known.length === 0) throw refused();
    verifiedAt.set(token, clock.monotonic());
  }

  return (authorization) => {
    const token = bearerToken(authorization);
    if (token === undefined) throw refused();
    const at = verifiedAt.get(token);
    return at !== undefined && clock.monotonic() - at < TOKEN_MS_MAX ? undefined : verify(token);
  };
}

/** Reads `name=sha256 in hex`; undefined when it is not of that form. */
export function parseAccessKey(text: string): AccessKey | undefined {
  const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})=([0-9a-f]{64})$/i.exec(text.trim());
  const [, name, hex] = match ?? [];
  if (name === undefined || hex === undefined) return undefined;
  return { name, digest: Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)) };
}

function refused(): FingerpostError {
  return new FingerpostError("unauthenticated", "A valid bearer token is required.");
}
