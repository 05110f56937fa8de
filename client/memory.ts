import type { ServiceAnswer, Source } from "../contract/http.ts";

/** Characters of all held answers together. */
const CHARACTERS_MAX = 32 * 1024 * 1024;

/** One answer of the resolver, as it was told and when. */
export interface Held {
  readonly answer: ServiceAnswer;
  readonly etag: string | undefined;
  /** Of the body it was read from. */
  readonly characters: number;
  /** What the resolver said at `heardAt`. */
  readonly ageMs: number;
  readonly stale: boolean;
  readonly source: Source;
  /** By the client's clock; the age grows from here. */
  readonly heardAt: number;
  /** Until then it is used without asking. */
  readonly freshUntil: number;
  /** Until then it is used as last-known-good without asking, because asking has just failed or is under way. */
  readonly retryAt: number;
  /** Requests that failed since it was heard. */
  readonly failures: number;
}

export interface Memory {
  get(key: string): Held | undefined;
  set(key: string, held: Held): void;
  delete(key: string): void;
}

/** What is held, bounded in entries and in characters; the least recently used go first. */
export function createMemory(entriesMax: number, charactersMax = CHARACTERS_MAX): Memory {
  // A Map keeps its order of insertion: what is used is put in again at the end.
  const entries = new Map<string, Held>();
  let characters = 0;

  const remove = (key: string) => {
    characters -= entries.get(key)?.characters ?? 0;
    entries.delete(key);
  };
  return {
    get(key) {
      const held = entries.get(key);
      if (held) {
        entries.delete(key);
        entries.set(key, held);
      }
      return held;
    },
    set(key, held) {
      remove(key);
      entries.set(key, held);
      characters += held.characters;
      for (const oldest of entries.keys()) {
        if (entries.size <= entriesMax && characters <= charactersMax) break;
        remove(oldest);
      }
    },
    delete: remove,
  };
}
