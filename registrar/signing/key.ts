import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { FingerpostError } from "../../kernel/errors.ts";

/** What the base64 of every Ed25519 private key begins with (RFC 8410): the DER of a PrivateKeyInfo. */
const PKCS8_OPENING = "MC4CAQAwBQYDK2VwBCIEI";

/** Ends a sentence that begins with the place the key was set; it never quotes what was there. */
export const SIGNING_KEY_RULE =
  "must be one line of base64, as fingerpost keys generate writes it: an Ed25519 private key (PKCS#8)";

/** Throws `invalid_argument`, without what was given: it may be a secret, if not the right one. */
export function parseSigningKey(text: string): KeyObject {
  // The first characters hold no part of the secret, and are those of no other kind of key.
  if (!isSigningKey(text)) throw new FingerpostError("invalid_argument", `The signing key ${SIGNING_KEY_RULE}.`);
  return createPrivateKey({ key: Buffer.from(text, "base64"), format: "der", type: "pkcs8" });
}

export function isSigningKey(text: string): boolean {
  return text.startsWith(PKCS8_OPENING) && /^[A-Za-z0-9+/]{64}$/.test(text);
}

/** A new private key as one line of text. */
export function generateSigningKey(): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  return privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
}

/** As a resolver takes it, in FINGERPOST_PUBLIC_KEYS. */
export function publicKeyText(key: KeyObject): string {
  return createPublicKey(key).export({ format: "der", type: "spki" }).toString("base64");
}
