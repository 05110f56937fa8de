import type { DocumentKind } from "../../contract/document.ts";
import type { StoredReading } from "./stored-reading.ts";

/** Besides documents: marks, whose text is empty, by which isolates tell each other what they are doing. */
export type ColoKind = DocumentKind | "claim" | "copied";

/** What the isolates of one data centre share. It may lose anything at any time. `name` is "" where a kind has but one. */
export interface ColoCache {
  get(namespace: string, kind: ColoKind, name: string): Promise<StoredReading | undefined>;
  put(namespace: string, kind: ColoKind, name: string, reading: StoredReading): Promise<void>;
}
