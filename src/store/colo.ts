import type { DocumentKind } from "../../contract/document.ts";
import type { Version } from "../../contract/version.ts";

/** A stored document as it was read from Redis, so that another isolate can judge it like a reading of its own. */
export interface ColoEntry {
  /** Milliseconds since the epoch: when the reading began. */
  readonly readAt: number;
  /** The head it was read with. */
  readonly verified: Version;
  readonly text: string;
}

/** What the isolates of one data centre share. It may lose anything at any time. `name` is "" but for services. */
export interface ColoCache {
  get(namespace: string, kind: DocumentKind, name: string): Promise<ColoEntry | undefined>;
  put(namespace: string, kind: DocumentKind, name: string, entry: ColoEntry): Promise<void>;
}
