import type { DocumentKind } from "./document.ts";
import { openDocument, SEAL_FORMAT } from "./envelope.ts";

/** Bytes of the SHA-256 of a public key that name it. Keys with the same name would only both have to be tried. */
const KEY_ID_BYTES = 8;
/** What the base64 of every Ed25519 public key begins with (RFC 8410): the DER of a SubjectPublicKeyInfo. */
const SPKI_OPENING = "MCowBQYDK2VwAyEA";
const SPKI_HEADER_BYTES = 12;
const SIGNATURE_BYTES = 64;

const encoder = new TextEncoder();

/** An Ed25519 public key: the DER of its SubjectPublicKeyInfo. */
export type PublicKey = Uint8Array<ArrayBuffer>;

/**
 * Reads the one line that stands between BEGIN PUBLIC KEY and END PUBLIC KEY of a PEM file; undefined when `text` is not
 * that of an Ed25519 key.
 */
export function parsePublicKey(text: string): PublicKey | undefined {
  if (!text.startsWith(SPKI_OPENING) || !/^[A-Za-z0-9+/]{59}=$/.test(text)) return undefined;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export async function keyIdOf(key: PublicKey): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", key.subarray(SPKI_HEADER_BYTES));
  return toBase64Url(new Uint8Array(digest, 0, KEY_ID_BYTES));
}

/**
 * What is signed: where a document belongs, until when, and its bytes, so that no signature serves in another place. The
 * opening is JSON, in which no name can be taken for two. `name` is "" but for services.
 */
export function signedBytes(
  kind: DocumentKind,
  namespace: string,
  name: string,
  expiresAt: string,
  document: string,
): Uint8Array<ArrayBuffer> {
  return encoder.encode(
    `${JSON.stringify(["fingerpost", SEAL_FORMAT, kind, namespace, name, expiresAt])}\n${document}`,
  );
}

/**
 * Why a document cannot be believed. `unknown-key`: signed with none of the verifier's keys. `forged`: its signature is not
 * one for this kind, namespace and name.
 */
export type SignatureFault = "unsigned" | "unknown-key" | "forged";

export type Verification =
  | { readonly type: "valid"; readonly document: string; readonly expiresAt: number }
  | { readonly type: "refused"; readonly fault: SignatureFault };

/** Verifies stored texts by WebCrypto, with any of its keys. */
export interface Verifier {
  /**
   * Whether `text` was signed as what it was found as. Whether it has expired is for the caller to judge. Rejects with
   * `unavailable` for a format that this build does not know.
   */
  open(kind: DocumentKind, namespace: string, name: string, text: string): Promise<Verification>;
}

export function createVerifier(publicKeys: readonly PublicKey[]): Verifier {
  // The keys are shared between requests, and not the promise of them, which would belong to the one that made it.
  let keys: ReadonlyMap<string, CryptoKey> | undefined;

  async function importKeys(): Promise<ReadonlyMap<string, CryptoKey>> {
    const imported = publicKeys.map(async (key) => {
      return [await keyIdOf(key), await crypto.subtle.importKey("spki", key, "Ed25519", false, ["verify"])] as const;
    });
    return new Map(await Promise.all(imported));
  }

  return {
    async open(kind, namespace, name, text) {
      const { document, envelope } = openDocument(text);
      if (!envelope) return { type: "refused", fault: "unsigned" };
      keys ??= await importKeys();
      const key = keys.get(envelope.keyId);
      if (!key) return { type: "refused", fault: "unknown-key" };
      const signature = fromBase64Url(envelope.signature);
      const bytes = signedBytes(kind, namespace, name, envelope.expiresAt, document);
      const isValid = signature !== undefined && (await crypto.subtle.verify("Ed25519", key, signature, bytes));
      if (!isValid) return { type: "refused", fault: "forged" };
      return { type: "valid", document, expiresAt: Number(envelope.expiresAt) };
    },
  };
}

export function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}

/** Undefined unless this is how the bytes would be written: the last character has bits to spare. */
function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return bytes.length === SIGNATURE_BYTES && toBase64Url(bytes) === text ? bytes : undefined;
}
