import { parsePublicKey, type PublicKey } from "../../contract/signature.ts";
import { parseSigningKey, publicKeyText } from "../../registrar/signing/key.ts";

/** A private key for tests: that of RFC 8032, 7.1, test 1. */
export const SIGNING_KEY = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
/** Another one: that of RFC 8032, 7.1, test 2. */
export const SIGNING_KEY_NEXT = "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7";

export function publicTextOf(signingKey: string): string {
  return publicKeyText(parseSigningKey(signingKey));
}

export function publicKeyOf(signingKey: string): PublicKey {
  const key = parsePublicKey(publicTextOf(signingKey));
  if (!key) throw new Error("the public key is not one");
  return key;
}
