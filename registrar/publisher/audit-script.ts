import { createHash } from "node:crypto";
import { FingerpostError } from "../../kernel/errors.ts";
import { FOREIGN_GUARD, type HeadGuard, type Write } from "./commit-script.ts";
import type { SnapshotStore } from "./store.ts";

/**
 * KEYS[1] is the head; ARGV[1] the SHA-1 of the head that must be stored. For each of the other keys the fingerprint of
 * what is there, so that megabytes stay where they are: SHA-1, with "~" behind it where the key expires by itself; "" for
 * none. "moved" alone when another head is stored.
 */
export const AUDIT_SCRIPT = `
local function fingerprint(key)
  local type = redis.call('TYPE', key)['ok']
  if type == 'none' then return '' end
  if type ~= 'string' then return '${FOREIGN_GUARD}' end
  local hash = redis.sha1hex(redis.call('GET', key))
  if redis.call('PTTL', key) >= 0 then return hash .. '~' end
  return hash
end
if string.gsub(fingerprint(KEYS[1]), '~', '') ~= ARGV[1] then return { 'moved' } end
local found = {}
for i = 2, #KEYS do found[i - 1] = fingerprint(KEYS[i]) end
return found
`.trim();

/** As the script answers for a key that holds this. */
export function fingerprintOf({ value, expiresInMs }: Pick<Write, "value" | "expiresInMs">): string {
  const hash = createHash("sha1").update(value).digest("hex");
  return expiresInMs === undefined ? hash : `${hash}~`;
}

/** The fingerprints of what these keys hold, read in one moment in which the head was that of `guard`; else "moved". */
export async function readFingerprints(
  store: SnapshotStore,
  headKey: string,
  guard: HeadGuard,
  keys: readonly string[],
): Promise<readonly string[] | "moved"> {
  const result = await store.evaluate(AUDIT_SCRIPT, [headKey, ...keys], [guard]);
  const found: readonly unknown[] = Array.isArray(result) ? result : [];
  if (found[0] === "moved") return "moved";
  if (found.length === keys.length && found.every((text) => typeof text === "string")) return found;
  throw new FingerpostError("internal", "The audit script answered something else than its results.");
}
