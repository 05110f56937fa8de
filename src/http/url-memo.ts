import { createBoundedMap } from "../memory/bounded-map.ts";
import type { Question } from "./question.ts";

/** Characters of path and query that are remembered. What is longer is parsed each time, so that none costs much. */
const LENGTH_MAX = 512;
/** URLs remembered: one to look up and one to pick from each of as many services as are held. */
const ENTRIES_MAX = 20_000;
/** Their estimated memory in all, in bytes. */
const BYTES_MAX = 8 * 1024 * 1024;
/** What one takes by itself, for each of its characters, and for a version range that was parsed. */
const BYTES_BASE = 256;
const BYTES_PER_CHARACTER = 4;
const BYTES_OF_RANGE = 4096;

/**
 * What URLs ask, remembered so that the same one need not be parsed again. It is told only of what was answered, so
 * neither names made up nor queries that are refused push out what is in use.
 */
export interface UrlMemo {
  get(url: string): Question | undefined;
  remember(url: string, question: Question): void;
}

interface Remembered {
  readonly question: Question;
  readonly bytes: number;
}

export function createUrlMemo(): UrlMemo {
  const remembered = createBoundedMap<string, Remembered>({
    entriesMax: ENTRIES_MAX,
    weightMax: BYTES_MAX,
    weightOf: ({ bytes }) => bytes,
  });
  return {
    get(url) {
      const text = withoutKey(url);
      return text === undefined ? undefined : remembered.get(text)?.question;
    },
    remember(url, question) {
      const text = withoutKey(url);
      // A key that is escaped stands in the text still, where it would be taken for a part of the question.
      if (text === undefined || (question.type === "pick-by-key" && keyOf(url) === undefined)) return;
      const rangeBytes = question.filters.version === undefined ? 0 : BYTES_OF_RANGE;
      remembered.set(text, { question, bytes: BYTES_BASE + BYTES_PER_CHARACTER * text.length + rangeBytes });
    },
  };
}

/** The key of a pick, where it stands in the URL as it is, without an escape. */
export function keyOf(url: string): string | undefined {
  const start = keyStart(url);
  return start === -1 ? undefined : url.slice(start, keyEnd(url, start));
}

/** Path and query without the key of a pick; undefined when they are too long. The host tells nothing. */
function withoutKey(url: string): string | undefined {
  // After "http://" and a letter of a host at least.
  const path = url.indexOf("/", 8);
  if (url.length - path > LENGTH_MAX) return undefined;
  const start = keyStart(url);
  return start === -1 ? url.slice(path) : url.slice(path, start) + url.slice(keyEnd(url, start));
}

const PICK = "/pick";
const KEY = "key=";

/** Where the value of `key` begins; -1 without one, or where something in it means another character. */
function keyStart(url: string): number {
  const query = url.indexOf("?");
  if (query === -1 || !url.startsWith(PICK, query - PICK.length)) return -1;
  let at = url.indexOf(KEY, query);
  // A second question mark is a part of a value. A second key is refused, and so is never remembered.
  while (at !== -1 && at !== query + 1 && url[at - 1] !== "&") at = url.indexOf(KEY, at + 1);
  if (at === -1) return -1;
  const start = at + KEY.length;
  const end = keyEnd(url, start);
  for (let index = start; index < end; index++) if (!isPlain(url.charCodeAt(index))) return -1;
  return start;
}

function keyEnd(url: string, start: number): number {
  const end = url.indexOf("&", start);
  return end === -1 ? url.length : end;
}

/** What RFC 3986 calls unreserved: letters, digits, - . _ ~ */
function isPlain(code: number): boolean {
  const letter = code | 0x20;
  if ((letter >= 0x61 && letter <= 0x7a) || (code >= 0x30 && code <= 0x39)) return true;
  return code === 0x2d || code === 0x2e || code === 0x5f || code === 0x7e;
}
