import { FingerpostError } from "../kernel/errors.ts";

/** The version of the line that stands before a signed document. */
export const SEAL_FORMAT = 1;

/** What a signed document begins with, as the texts that were written: what is signed is texts, not what they mean. */
export interface Envelope {
  readonly keyId: string;
  /** Milliseconds since the epoch, in decimal. */
  readonly expiresAt: string;
  /** Base64url. */
  readonly signature: string;
}

export interface OpenedDocument {
  /** The JSON, exactly as it was signed. */
  readonly document: string;
  /** Undefined: it is not signed. */
  readonly envelope: Envelope | undefined;
}

const LINE = /^signed:1 ([\w-]{11}) (\d{1,16}) ([\w-]{86})\n/;
const ANY_FORMAT = /^signed:(\d{1,9}) /;

export function sealDocument({ keyId, expiresAt, signature }: Envelope, document: string): string {
  return `signed:${SEAL_FORMAT} ${keyId} ${expiresAt} ${signature}\n${document}`;
}

/** The format in which a stored text is signed; undefined when it is not. */
export function sealFormatOf(text: string): number | undefined {
  const format = ANY_FORMAT.exec(text)?.[1];
  return format === undefined ? undefined : Number(format);
}

/**
 * Splits a stored text and verifies nothing, so that readers with and without keys, and publishers before and after
 * signing is switched on, read each other's documents. Throws `unavailable` for a format that this build does not know.
 */
export function openDocument(text: string): OpenedDocument {
  const match = LINE.exec(text);
  if (match) {
    const [line, keyId = "", expiresAt = "", signature = ""] = match;
    return { document: text.slice(line.length), envelope: { keyId, expiresAt, signature } };
  }
  const format = sealFormatOf(text);
  if (format !== undefined && format > SEAL_FORMAT) {
    throw new FingerpostError(
      "unavailable",
      `A stored document is signed in format ${format}; this build reads ${SEAL_FORMAT}. Upgrade it first.`,
    );
  }
  return { document: text, envelope: undefined };
}
