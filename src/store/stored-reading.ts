import type { Version } from "../../contract/version.ts";

/** A stored document as it was read from Redis, so that another isolate can judge it like a reading of its own. */
export interface StoredReading {
  /** Milliseconds since the epoch: when the reading began. */
  readonly readAt: number;
  /** The head it was read with. */
  readonly verified: Version;
  readonly text: string;
}

export function encodeReading({ readAt, verified, text }: StoredReading): string {
  return `${readAt} ${verified.epoch} ${verified.revision}\n${text}`;
}

/** Undefined for what `encodeReading` has not made. */
export function parseReading(stored: string): StoredReading | undefined {
  const match = /^(\d{1,16}) (\d{1,16}) (\d{1,16})\n/.exec(stored);
  if (!match) return undefined;
  const [line, readAt, epoch, revision] = match;
  return {
    readAt: Number(readAt),
    verified: { epoch: Number(epoch), revision: Number(revision) },
    text: stored.slice(line.length),
  };
}
