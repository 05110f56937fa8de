import { KINDS, isAlgorithm, isRecord, type Algorithm, type PublicKey } from "./jwk.ts";

/** A signed token as it was read: nothing of it is verified. */
export interface SignedToken {
  readonly alg: Algorithm;
  readonly kid?: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signed: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** RFC 7519 and RFC 9068; a type may be left out. */
const TYPE = /^(application\/)?(at\+)?jwt$/i;

/** Three parts of base64url. What is not of this form costs nothing more. */
export function looksLikeToken(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}

/**
 * Reads a JWT in compact form (RFC 7515, 7519). Undefined for what is none, for an algorithm that is not taken, and for
 * any `crit`, since no extension is known here.
 */
export function readToken(token: string): SignedToken | undefined {
  const [headerText = "", claimsText = "", signatureText = ""] = token.split(".");
  try {
    const header = parsePart(headerText);
    const claims = parsePart(claimsText);
    if (!isRecord(header) || !isRecord(claims)) return undefined;
    const { alg, kid, typ = "JWT" } = header;
    if (!isAlgorithm(alg) || "crit" in header || typeof typ !== "string" || !TYPE.test(typ)) return undefined;
    if (kid !== undefined && typeof kid !== "string") return undefined;
    return {
      alg,
      ...(kid === undefined ? {} : { kid }),
      claims,
      signed: new TextEncoder().encode(`${headerText}.${claimsText}`),
      signature: bytesOf(signatureText),
    };
  } catch {
    return undefined;
  }
}

/** Whether the key has signed the token, by WebCrypto. False, too, for a key that cannot be imported for the algorithm. */
export type SignatureCheck = (key: PublicKey, token: SignedToken) => Promise<boolean>;

/** Keys are imported once, and kept for as long as their key set is: bad signatures cost no import each. */
export function createSignatureCheck(): SignatureCheck {
  const imported = new WeakMap<PublicKey, Map<Algorithm, CryptoKey>>();

  return async (key, { alg, signature, signed }) => {
    const parameters = parametersOf(alg);
    const byAlgorithm = imported.get(key) ?? new Map<Algorithm, CryptoKey>();
    imported.set(key, byAlgorithm);
    try {
      let ready = byAlgorithm.get(alg);
      // Only what has been made is shared, not its making: a promise belongs to the request that began it.
      ready ??= await crypto.subtle.importKey("jwk", key.material, parameters, false, ["verify"]);
      byAlgorithm.set(alg, ready);
      return await crypto.subtle.verify(parameters, ready, signature, signed);
    } catch {
      return false;
    }
  };
}

/** Of RFC 7518, 3.3 to 3.5, and of RFC 8037. */
function parametersOf(alg: Algorithm) {
  if (alg === "EdDSA") return { name: "Ed25519" };
  const bits = alg.slice(2);
  const hash = `SHA-${bits}`;
  if (alg.startsWith("ES")) return { name: "ECDSA", hash, namedCurve: KINDS[alg] };
  if (alg.startsWith("PS")) return { name: "RSA-PSS", hash, saltLength: Number(bits) / 8 };
  return { name: "RSASSA-PKCS1-v1_5", hash };
}

function parsePart(text: string): unknown {
  return JSON.parse(new TextDecoder().decode(bytesOf(text)));
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
