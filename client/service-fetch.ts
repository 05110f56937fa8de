import type { Instance } from "../contract/snapshot.ts";
import { pick } from "../contract/pick.ts";
import { ResolveError } from "./errors.ts";
import { instanceUrl, isFetchable } from "./instance-url.ts";
import type { Settings } from "./options.ts";

/** Instances tried for one call. */
const ATTEMPTS_MAX = 3;

/** Methods that are repeated after a failure that leaves open whether the request has arrived (RFC 9110, 9.2.1). */
const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

/** Codes, of Node and Bun, of failures before anything was sent. Other runtimes do not tell. */
const NOTHING_SENT = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
]);

/**
 * Sends a request to one of the instances, and to another one when the connection fails and it may be sent again: its
 * body can be read twice, and its method is safe or nothing was sent. An answer of any status is an answer. Throws
 * `unreachable`, `unsupported_protocol`, `invalid_argument`; the reason of `init.signal` when that aborts.
 */
export async function fetchFromOne(
  { fetch, random }: Pick<Settings, "fetch" | "random">,
  instances: readonly Instance[],
  key: string | undefined,
  path: string,
  init: RequestInit,
): Promise<Response> {
  let candidates = instances.filter(isFetchable);
  if (candidates.length === 0) {
    throw new ResolveError("unsupported_protocol", "No instance of the service speaks http or https.");
  }
  for (let attempt = 1; ; attempt++) {
    const instance = pick(candidates, key, random);
    if (!instance) throw new ResolveError("no_instance", "The service has no other instance.");
    try {
      init.signal?.throwIfAborted();
      return await fetch(instanceUrl(instance, path), init);
    } catch (error) {
      if (error instanceof ResolveError || init.signal?.aborted) throw error;
      candidates = candidates.filter(({ id }) => id !== instance.id);
      if (candidates.length > 0 && attempt < ATTEMPTS_MAX && mayRepeat(error, init)) continue;
      throw new ResolveError("unreachable", `Instance "${instance.id}" could not be reached (attempt ${attempt}).`, {
        cause: error,
      });
    }
  }
}

function mayRepeat(error: unknown, { method = "GET", body }: RequestInit): boolean {
  if (body instanceof ReadableStream) return false;
  return SAFE_METHODS.includes(method.toUpperCase()) || nothingWasSent(error);
}

function nothingWasSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && NOTHING_SENT.has(String(cause.code))) return true;
  }
  return false;
}
