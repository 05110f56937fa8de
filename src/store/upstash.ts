import { commandRequest, parseCommandReply } from "../../contract/upstash.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { isSecureUrl, SECURE_URL_RULE } from "../secure-url.ts";
import { MGET_KEYS_MAX, STORE_TIMEOUT_MS_DEFAULT, type ReadStore } from "./redis.ts";
import { commandRefused, passes, storeError, valueOrMissing, valuesOrMissing } from "./values.ts";

/**
 * Bytes of one answer. A document has 16 million characters at most, and its quotes are escaped once more here; beyond
 * twice that an isolate of 128 MB could not hold text and values beside each other.
 */
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

export interface UpstashStoreOptions {
  /** Of the REST API, or of a gateway. */
  readonly url: string;
  /** The read-only one is enough. */
  readonly token: string;
  /** Bounds each request: 2,000 by default. Shorter than a lookup's budget, and slow answers are thrown away. */
  readonly timeoutMs?: number;
}

/**
 * Redis over Upstash's REST protocol, by nothing but `fetch`. Throws `invalid_argument` for a URL that would show the token
 * on its way, or is none, and where the token is missing. No error tells the command, the URL or the token.
 */
export function createUpstashStore({
  url,
  token,
  timeoutMs = STORE_TIMEOUT_MS_DEFAULT,
}: UpstashStoreOptions): ReadStore {
  // Whoever writes no types may hand over a variable that is not set; all lookups would fail, as if Redis were down.
  if (!isSecureUrl(url) || !token) {
    const rule = token ? `url ${SECURE_URL_RULE}` : "token is required";
    throw new FingerpostError("invalid_argument", `The store's options are not valid: ${rule}.`);
  }

  async function send(command: readonly string[]): Promise<{ readonly response: Response; readonly text: string }> {
    try {
      const response = await fetch(url, commandRequest(token, JSON.stringify(command), timeoutMs));
      return { response, text: await textOf(response) };
    } catch (error) {
      if (error instanceof FingerpostError) throw error;
      const late = error instanceof Error && error.name === "TimeoutError";
      throw storeError(late ? "Redis did not answer in time." : "Redis cannot be reached.");
    }
  }

  async function call(command: readonly string[]): Promise<unknown> {
    const { response, text } = await send(command);
    const { status } = response;
    if (status === 401) throw storeError("Redis refused the token.");
    if (status === 429) throw storeError("Redis asks to wait before the next request (HTTP 429).");
    const { result, error } = parseCommandReply(text);
    if (typeof error === "string") throw commandRefused(error);
    if (!response.ok || result === undefined) {
      throw storeError(`Redis' answer is not of Upstash's protocol (HTTP ${status}).`);
    }
    return result;
  }

  return {
    timeoutMs,
    async get(key) {
      return valueOrMissing(await call(["get", key]));
    },
    async mget(keys) {
      if (keys.length > MGET_KEYS_MAX) throw new RangeError(`an MGET of ${keys.length} keys`);
      return valuesOrMissing(await call(["mget", ...keys]), keys.length);
    },
    mayWrite: (vacantKey) => passes(call(["persist", vacantKey])),
  };
}

/** Reads no further than ANSWER_BYTES_MAX: what an answer says of its own length is not relied upon. */
async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > ANSWER_BYTES_MAX) throw storeError(`Redis' answer is over ${ANSWER_BYTES_MAX} bytes.`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
