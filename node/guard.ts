import type { MiddlewareHandler } from "hono";
import { FingerpostError } from "../kernel/errors.ts";
import { bearerToken, digestsEqual, sha256 } from "../kernel/secret.ts";
import { isLoopback } from "./listen.ts";

/**
 * Refuses a Host that is not ours on a loopback port, which is how a page reaches it by a name of its own (DNS
 * rebinding). A proxy in front of such a port has to send the port's own Host.
 */
export function refuseForeignHosts(hostListening: string): MiddlewareHandler {
  return async (context, next) => {
    if (isLoopback(hostListening.toLowerCase())) {
      const host = hostOf(context.req.header("host") ?? "");
      if (!isLoopback(host)) {
        throw new FingerpostError("misdirected", `Host "${host}" is not served here: use ${hostListening}.`);
      }
    }
    await next();
  };
}

/** Refuses requests that a browser was tricked into sending: no page is meant to call these APIs. */
export function refuseWebPages(): MiddlewareHandler {
  return async (context, next) => {
    if (context.req.header("origin") !== undefined) {
      throw new FingerpostError("permission_denied", "Requests from web pages are refused.");
    }
    await next();
  };
}

/** Requires `Authorization: Bearer` with `token`; without a token configured, lets everything pass. */
export function requireBearer(token: string | undefined): MiddlewareHandler {
  const expected = token === undefined ? undefined : sha256(token);
  return async (context, next) => {
    if (expected !== undefined) {
      const given = bearerToken(context.req.header("authorization"));
      if (given === undefined || !digestsEqual(await sha256(given), await expected)) {
        throw new FingerpostError("unauthenticated", "A valid bearer token is required.");
      }
    }
    await next();
  };
}

/**
 * The JSON body of a request. Throws `unsupported_media_type` for another content type, and `invalid_argument` for
 * a body over `bytesMax` (without reading the rest of it) or one that is not JSON in UTF-8 (RFC 8259, 8.1).
 */
export async function readJson(request: Request, bytesMax: number): Promise<unknown> {
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new FingerpostError("unsupported_media_type", "Send the body with Content-Type: application/json.");
  }
  const text = await wholeBody(readText(request, bytesMax));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FingerpostError("invalid_argument", "The body is not JSON.", {
      violations: [{ pointer: "", detail: "must be JSON" }],
      cause,
    });
  }
}

/**
 * A body as `reading` gives it. Throws `invalid_argument` where the caller went before it was whole: nobody hears of it,
 * and without a code it would be logged as a defect of ours.
 */
export async function wholeBody<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof FingerpostError) throw error;
    throw new FingerpostError("invalid_argument", "The body ended before it was whole.", { cause: error });
  }
}

async function readText(request: Request, bytesMax: number): Promise<string> {
  // Without `fatal` other bytes would turn into U+FFFD, and what is kept would not be what was sent.
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const length = request.headers.get("content-length");
  // As nearly every body comes: read at once, which on Node costs a third of what a stream does. HTTP itself sees to
  // it that no more arrives than was announced.
  if (length !== null && Number(length) <= bytesMax)
    return decode(decoder, new Uint8Array(await request.arrayBuffer()));
  let text = "";
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) {
      throw new FingerpostError("invalid_argument", "The body is too large.", {
        violations: [{ pointer: "", detail: `must be at most ${bytesMax} bytes` }],
      });
    }
    text += decode(decoder, chunk);
  }
  return text + decode(decoder);
}

/** The next piece of a text, or without a chunk its end. */
function decode(decoder: TextDecoder, chunk?: Uint8Array): string {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined });
  } catch (cause) {
    throw new FingerpostError("invalid_argument", "The body is not UTF-8.", {
      violations: [{ pointer: "", detail: "must be UTF-8" }],
      cause,
    });
  }
}

/** Without the port, and in lower case: the names of hosts know no case (RFC 9110, 4.2.3). */
function hostOf(header: string): string {
  return header
    .replace(/:\d+$/, "")
    .replace(/^\[|\]$/g, "")
    .toLowerCase();
}
