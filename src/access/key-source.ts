import { FingerpostError } from "../../kernel/errors.ts";
import { READ_MS_MAX, type KeySource } from "./key-set.ts";

/** Of a key set: an issuer's has some kilobytes. */
const BYTES_MAX = 256 * 1024;

/** The key set at a URL, by GET. A redirect is not followed: it would lead away from what was configured. */
export function createKeySource(url: string): KeySource {
  return async () => {
    let response: Response;
    try {
      response = await fetch(url, {
        headers: { Accept: "application/jwk-set+json, application/json" },
        redirect: "manual",
        signal: AbortSignal.timeout(READ_MS_MAX),
      });
    } catch (error) {
      throw unread(error);
    }
    if (response.status !== 200 || !response.body) {
      await response.body?.cancel();
      throw new FingerpostError("unavailable", `The issuer of tokens answered ${response.status} for its keys.`);
    }
    return bounded(response.body);
  };
}

async function bounded(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let bytes = 0;
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.byteLength;
      if (bytes > BYTES_MAX) break;
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    throw unread(error);
  }
  await reader.cancel();
  throw new FingerpostError("unavailable", `The issuer's keys have more than ${BYTES_MAX} bytes.`);
}

/** The platform's messages may hold the address: only the error's name goes on. */
function unread(error: unknown): FingerpostError {
  const name = error instanceof Error ? error.name : "Error";
  return new FingerpostError("unavailable", `The issuer of tokens did not answer (${name}).`);
}
