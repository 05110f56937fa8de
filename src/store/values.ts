import { refusalText } from "../../contract/upstash.ts";
import { FingerpostError } from "../../kernel/errors.ts";

/** What callers may try again after; a breaker stands before the store itself. */
const RETRY_AFTER_SECONDS = 1;

/** A failure of Redis, whatever it is: `unavailable`. */
export function storeError(text: string): FingerpostError {
  return new FingerpostError("unavailable", text, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}

/** Redis' refusal of a command, by its code alone. */
export function commandRefused(message: string): FingerpostError {
  return storeError(refusalText(message));
}

/** Whether a write passed that changes nothing; false where Redis' rules are what kept it from passing. */
export async function passes(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof FingerpostError && error.message === NOT_PERMITTED) return false;
    throw error;
  }
}

const NOT_PERMITTED = refusalText("NOPERM");

/** A value as Redis answered it; undefined where it says that there is none. */
export function valueOrMissing(value: unknown): string | undefined {
  if (value === null) return undefined;
  if (typeof value === "string") return value;
  throw unexpected();
}

export function valuesOrMissing(values: unknown, count: number): readonly (string | undefined)[] {
  if (!Array.isArray(values) || values.length !== count) throw unexpected();
  return values.map(valueOrMissing);
}

function unexpected(): FingerpostError {
  return storeError("Redis gave an answer of an unexpected form.");
}
