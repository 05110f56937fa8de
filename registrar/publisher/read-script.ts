import { FingerpostError } from "../../kernel/errors.ts";
import { headGuard, FOREIGN_GUARD, type HeadGuard } from "./commit-script.ts";
import type { SnapshotStore } from "./store.ts";

/** A GET that tells a key of another type from one that is not there, where Redis' own would only fail. */
const READ_SCRIPT = `
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
