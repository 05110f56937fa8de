import * as v from "valibot";
import { parseWith, plainObject } from "../../contract/validation.ts";
import { readJson } from "../../node/guard.ts";

/** Bytes of a body where none is expected. */
const EMPTY_BODY_BYTES_MAX = 64;

const nothing = v.pipe(plainObject("must be empty"), v.strictObject({}));

/** An empty object passes as well: many clients send one with every POST. Anything more would be ignored in silence. */
export async function refuseBody(request: Request): Promise<void> {
  const length = request.headers.get("content-length");
  if (length === "0" || (length === null && !request.headers.has("transfer-encoding"))) return;
  parseWith(nothing, await readJson(request, EMPTY_BODY_BYTES_MAX), "This request takes no body.");
}
