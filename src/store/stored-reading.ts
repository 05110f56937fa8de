import type { Version } from "../../contract/version.ts";

/** A head that something was read with. `confirmedAt`: as the head tells it, milliseconds since the epoch. */
export interface Verified extends Version {
  readonly confirmedAt: number;
}

/** A stored document as it was read from Redis, so that another isolate can judge it like a reading of its own. */
export interface StoredReading {
  /** Milliseconds since the epoch: when the reading began. */
  readonly readAt: number;
  /** The head it was read with. */
  readonly verified: Verified;
  readonly text: string;
}

export function encodeReading({ readAt, verified, text }: StoredReading): string {
  return `${readAt} ${verified.epoch} ${verified.revision} ${verified.confirmedAt}\n${text}`;
}

/**
 * Undefined for what `encodeReading` has not made. Earlier builds left `confirmedAt` out: then it was as late as the
 * reading at most.
 */
export function parseReading(stored: string): StoredReading | undefined {
  const match = /^(\d{1,16}) (\d{1,16}) (\d{1,16})(?: (\d{1,16}))?\n/.exec(stored);
  if (!match) return undefined;
  const [line, readAt, epoch, revision, confirmedAt = readAt] = match;
  return {
    readAt: Number(readAt),
    verified: { epoch: Number(epoch), revision: Number(revision), confirmedAt: Number(confirmedAt) },
    text: stored.slice(line.length),
  };
}
