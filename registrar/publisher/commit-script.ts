import { createHash } from "node:crypto";
import { FingerpostError } from "../../kernel/errors.ts";
import type { SnapshotStore } from "./store.ts";

/**
 * KEYS[1] is the head; the other keys are written. ARGV: the SHA-1 of the head that must be stored ("" for none), the
 * SHA-1 of the new head ("" to leave the head as it is), the new head, then a value and an expiry in milliseconds ("" for
 * none) for each of the other keys. Lua compares and writes bytes, and reads no JSON: see docs/adr/0002.
 */
export const COMMIT_SCRIPT = `
local type = redis.call('TYPE', KEYS[1])['ok']
local hash = ''
if type == 'string' then
  hash = redis.sha1hex(redis.call('GET', KEYS[1]))
elseif type ~= 'none' then
  hash = 'foreign'
end
if hash ~= ARGV[1] then
  if hash ~= '' and hash == ARGV[2] then return 'repeated' end
  return 'refused'
end
for i = 2, #KEYS do
  local value, expiry = ARGV[2 * i], ARGV[2 * i + 1]
  if expiry == '' then
    redis.call('SET', KEYS[i], value)
  else
    redis.call('SET', KEYS[i], value, 'PX', expiry)
  end
end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[3]) end
return 'committed'
`.trim();

/** One key to write. */
export interface Write {
  readonly key: string;
  readonly value: string;
  /** Whole milliseconds from the moment of the write; without it the key stays. */
  readonly expiresInMs?: number;
}

/** The SHA-1 of the head that must be stored, or "" when none may be. */
export type HeadGuard = string;

/** Stands for whatever is under the head's key without being text: a commit may replace it, and never mistake it. */
export const FOREIGN_GUARD: HeadGuard = "foreign";

export interface CommitRequest {
  readonly headKey: string;
  readonly guard: HeadGuard;
  readonly writes: readonly Write[];
  /** The new head; without it only `writes` are made, under the same guard. */
  readonly head?: string;
}

/**
 * `repeated`: the new head was there already, so an earlier try of this very commit had succeeded. `refused`: another
 * head is stored than `guard` says, and nothing was written.
 */
export type CommitResult = "committed" | "repeated" | "refused";

export function headGuard(text: string | undefined): HeadGuard {
  return text === undefined ? "" : createHash("sha1").update(text).digest("hex");
}

/** Rejects when the outcome is not known: the same request may then be made again, and no other in its place. */
export async function commit(store: SnapshotStore, request: CommitRequest): Promise<CommitResult> {
  const { headKey, guard, writes, head } = request;
  const result = await store.evaluate(
    COMMIT_SCRIPT,
    [headKey, ...writes.map(({ key }) => key)],
    [
      guard,
      headGuard(head),
      head ?? "",
      ...writes.flatMap(({ value, expiresInMs }) => [value, expiresInMs === undefined ? "" : String(expiresInMs)]),
    ],
  );
  if (result === "committed" || result === "repeated" || result === "refused") return result;
  throw new FingerpostError("internal", "The commit script answered something else than its results.");
}
