import type { DocumentKind } from "../../contract/document.ts";
import { createVerifier, parsePublicKey, type SignatureFault, type Verifier } from "../../contract/signature.ts";
import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";

/** Where a stored text was read. */
export type Origin = "redis" | "colo" | "deep";

/** What a stored text is worth. What has `expired` is taken as last-known-good only. */
export type Opened =
  | { readonly type: "valid"; readonly document: string; readonly expired: boolean }
  | { readonly type: "refused"; readonly fault: SignatureFault | "unreadable"; readonly detail?: string };

/** Looks at the signature of every stored text, wherever it was read, before anything else does. */
export interface Opener {
  /** `name` is "" but for services. Never rejects; a text that is not there stays undefined. */
  open(kind: DocumentKind, name: string, text: string): Promise<Opened>;
  open(kind: DocumentKind, name: string, text: string | undefined): Promise<Opened | undefined>;
}

/** Without a verifier everything is taken as it is. */
export function createOpener(namespace: string, verifier: Verifier | undefined, clock: Pick<Clock, "now">): Opener {
  async function open(kind: DocumentKind, name: string, text: string): Promise<Opened>;
  async function open(kind: DocumentKind, name: string, text: string | undefined): Promise<Opened | undefined>;
  async function open(kind: DocumentKind, name: string, text: string | undefined): Promise<Opened | undefined> {
    if (text === undefined) return undefined;
    // The codecs split a signed text by themselves.
    if (!verifier) return { type: "valid", document: text, expired: false };
    try {
      const verification = await verifier.open(kind, namespace, name, text);
      if (verification.type === "refused") return verification;
      const { document, expiresAt } = verification;
      return { type: "valid", document, expired: expiresAt <= clock.now() };
    } catch (error) {
      return { type: "refused", fault: "unreadable", detail: messageOf(error) };
    }
  }
  return { open };
}

/** Ends a sentence that begins with the place the keys were set. */
export const PUBLIC_KEYS_RULE = "must be public keys as fingerpost keys prints them, separated by commas";

/** Undefined without keys. Throws `invalid_argument`, without the text: it may be a private key in the wrong place. */
export function verifierOf(publicKeys: readonly string[]): Verifier | undefined {
  const keys = publicKeys.map((text) => {
    const key = parsePublicKey(text);
    if (!key) throw new FingerpostError("invalid_argument", `publicKeys ${PUBLIC_KEYS_RULE}.`);
    return key;
  });
  return keys.length === 0 ? undefined : createVerifier(keys);
}
