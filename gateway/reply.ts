import { ErrorReply } from "@redis/client";
import { FingerpostError } from "../kernel/errors.ts";
import { RESPONSE_BYTES_MAX } from "./limits.ts";

/**
 * A reply of RESP2 as it is read here: a Buffer for every string, the digits of an integer as text (they use all 64
 * bits), null, an error, or an array of these. RESP2, because its maps are flat arrays and its doubles strings, which
 * is what clients of the REST protocol expect.
 */
export type Reply = Buffer | string | null | ErrorReply | readonly Reply[];

export type Encoding = "base64" | "utf8";

/** One element of a pipeline's answer, and the whole answer to a single command. */
export type Outcome = { readonly result: Json } | { readonly error: string };

type Json = string | number | null | readonly Json[];

export function isList(reply: Reply | undefined): reply is readonly Reply[] {
  return Array.isArray(reply);
}

const OK = Buffer.from("OK");

/**
 * Writes replies as JSON values. One encoder serves one answer: it throws `invalid_argument` when they come to more
 * than RESPONSE_BYTES_MAX.
 */
export function createReplyEncoder(encoding: Encoding, bytesMax = RESPONSE_BYTES_MAX): (reply: Reply) => Outcome {
  let bytes = 0;

  const text = (value: Buffer): string => {
    bytes += value.length;
    if (bytes > bytesMax) {
      throw new FingerpostError("invalid_argument", `The reply is over ${bytesMax} bytes: ask for less at a time.`);
    }
    return value.toString(encoding);
  };

  const element = (reply: Reply): Json => {
    if (reply === null) return null;
    if (isList(reply)) return reply.map(element);
    if (reply instanceof ErrorReply) return text(Buffer.from(errorText(reply)));
    return typeof reply === "string" ? integer(reply) : text(reply);
  };

  // A JSON number beyond 2^53 would be rounded by whoever reads it, silently; the clients take big numbers as strings.
  const integer = (digits: string): Json => {
    const value = Number(digits);
    return Number.isSafeInteger(value) ? value : text(Buffer.from(digits));
  };

  return (reply) => {
    if (reply instanceof ErrorReply) return { error: errorText(reply) };
    // Clients expect a bare OK even where base64 was asked for. It cannot be taken for base64, which comes in fours.
    if (reply instanceof Buffer && reply.equals(OK)) return { result: "OK" };
    return { result: element(reply) };
  };
}

/** What Redis said, except where it would tell a caller the address of another node. */
export function errorText(error: ErrorReply): string {
  if (/^(MOVED|ASK) /.test(error.message)) {
    return "ERR the Redis behind this gateway is a cluster, and the key is on another node";
  }
  return error.message;
}
