import { sha256 } from "../../kernel/secret.ts";

/** Bytes of the hash that go into a tag. */
const TAG_BYTES = 12;

/** A strong entity tag of a body, for answers that are put together from several documents. */
export async function strongTag(body: string): Promise<string> {
  const digest = await sha256(body);
  const hex = [...digest.subarray(0, TAG_BYTES)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `"${hex.join("")}"`;
}
