import { FingerpostError } from "../../kernel/errors.ts";
import { headGuard, FOREIGN_GUARD, type HeadGuard } from "./commit-script.ts";
import type { SnapshotStore } from "./store.ts";

/** A GET that tells a key of another type from one that is not there, where Redis' own would only fail. */
export const READ_SCRIPT = `
local type = redis.call('TYPE', KEYS[1])['ok']
if type == 'none' then return { 'none' } end
if type ~= 'string' then return { 'foreign' } end
return { 'text', redis.call('GET', KEYS[1]) }
`.trim();

/** What is stored under a key. `text` is undefined where there is none, or something that no publisher wrote. */
export interface StoredText {
  readonly text: string | undefined;
  /** By which a commit can replace exactly this. */
  readonly guard: HeadGuard;
}

export async function readText(store: SnapshotStore, key: string): Promise<StoredText> {
  const result = await store.evaluate(READ_SCRIPT, [key], []);
  const [type, text]: readonly unknown[] = Array.isArray(result) ? result : [];
  if (type === "none") return { text: undefined, guard: headGuard(undefined) };
  if (type === "foreign") return { text: undefined, guard: FOREIGN_GUARD };
  if (type === "text" && typeof text === "string") return { text, guard: headGuard(text) };
  throw new FingerpostError("internal", "The read script answered something else than its results.");
}

/**
 * The texts under KEYS, in order, for as many keys as their bytes stay within ARGV[1] (the first always): "" where there
 * is none.
 */
export const READ_MANY_SCRIPT = `
local texts, bytes = {}, 0
for i = 1, #KEYS do
  local text = ''
  if redis.call('TYPE', KEYS[i])['ok'] == 'string' then text = redis.call('GET', KEYS[i]) end
  bytes = bytes + #text
  if i > 1 and bytes > tonumber(ARGV[1]) then break end
  texts[i] = text
end
return texts
`.trim();

/** The texts of the first keys, at least one, as far as they fit `bytesMax`; "" for a key without text. */
export async function readTexts(
  store: SnapshotStore,
  keys: readonly string[],
  bytesMax: number,
): Promise<readonly string[]> {
  const result = await store.evaluate(READ_MANY_SCRIPT, keys, [String(bytesMax)]);
  const isTexts = Array.isArray(result) && result.every((text) => typeof text === "string");
  if (isTexts && result.length > 0 && result.length <= keys.length) return result;
  throw new FingerpostError("internal", "The script that reads several keys answered something else than texts.");
}
