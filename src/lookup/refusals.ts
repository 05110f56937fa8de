import type { DocumentKind } from "../../contract/document.ts";
import type { SignatureFault } from "../../contract/signature.ts";
import type { ResolverLog } from "../log.ts";
import type { Origin } from "./opening.ts";

/**
 * `expired` is served on as last-known-good; `replayed` is a head of an earlier epoch than the one that is held; the rest
 * is not used at all.
 */
export type RefusalReason = SignatureFault | "unreadable" | "expired" | "implausible" | "replayed";

/** A stored document that was not taken for what it says. */
export interface Refusal {
  readonly namespace: string;
  readonly kind: DocumentKind;
  /** The service; "" for a head or a catalog. */
  readonly name: string;
  readonly from: Origin;
  readonly reason: RefusalReason;
}

/** Counts what is refused, and tells an operator of each change once, not of every reading. */
export interface Refusals {
  refused(kind: DocumentKind, name: string, from: Origin, reason: RefusalReason, detail?: string): void;
  /** What was found there is good. */
  accepted(kind: DocumentKind, name: string, from: Origin): void;
}

/** Documents whose fault is remembered. Whoever can spoil more of them must not fill the log, or memory. */
const TOLD_MAX = 64;

export function createRefusals(namespace: string, log: ResolverLog, onRefused: (refusal: Refusal) => void): Refusals {
  const told = new Map<string, RefusalReason>();
  let count = 0;
  let toldOfMore = false;

  return {
    refused(kind, name, from, reason, detail) {
      count++;
      onRefused({ namespace, kind, name, from, reason });
      const key = `${from} ${kind} ${name}`;
      if (told.get(key) === reason) return;
      if (told.has(key) || told.size < TOLD_MAX) {
        told.set(key, reason);
        log.warn({ namespace, kind, name, from, reason, detail, refused: count }, "a stored document is refused");
      } else if (!toldOfMore) {
        toldOfMore = true;
        log.warn({ namespace, refused: count }, `more than ${TOLD_MAX} stored documents are refused, and told no more`);
      }
    },
    accepted(kind, name, from) {
      const key = `${from} ${kind} ${name}`;
      if (!told.delete(key)) return;
      toldOfMore = false;
      log.info({ namespace, kind, name, from, refused: count }, "a stored document is taken again");
    },
  };
}
