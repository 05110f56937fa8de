import { decodeCatalog } from "../contract/catalog.ts";
import { decodeHead, EPOCH_AHEAD_MS_MAX, type Head } from "../contract/head.ts";
import { decodeSnapshot } from "../contract/snapshot.ts";
import type { Version } from "../contract/version.ts";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { ResolverLog } from "./log.ts";
import type { Entry, NamespaceState } from "./namespace-state.ts";

/** Characters of one stored document. What is longer is not held: an isolate has 128 MB in all. */
const DOCUMENT_CHARACTERS_MAX = 16_000_000;

/** Why a head told nothing. */
type HeadFault = "missing" | "incomplete" | "unreadable";

/** Takes documents as they were read, from Redis or the colo cache, into the state: each checked by its codec first. */
export interface Reading {
  /** Redis' head; undefined when it told nothing. One older than the held one tells something all the same. */
  head(text: string | undefined, readAt: number): Head | undefined;
  /** The head that the colo cache had. */
  sharedHead(text: string, readAt: number): Head | undefined;
  snapshot(service: string, text: string, verified: Version): Entry | undefined;
  catalog(text: string): void;
}

export function createReading(
  namespace: string,
  state: NamespaceState,
  clock: Pick<Clock, "now">,
  log: ResolverLog,
): Reading {
  let faultTold: HeadFault | undefined;

  /** An operator hears of each change once, not of every reading. */
  function tell(fault: HeadFault | undefined, detail: string | undefined): void {
    if (fault === faultTold) return;
    faultTold = fault;
    if (fault === undefined) log.info({ namespace }, "the head in Redis is complete again");
    else log.warn({ namespace, fault, detail }, "the head in Redis tells nothing: what is held is served on");
  }

  function decode<T>(kind: string, name: string, text: string, decoder: () => T): T | undefined {
    try {
      if (text.length > DOCUMENT_CHARACTERS_MAX) throw new RangeError(`it has ${text.length} characters`);
      return decoder();
    } catch (error) {
      log.warn({ namespace, kind, name, reason: messageOf(error) }, "a stored document cannot be used");
      return undefined;
    }
  }

  function decodePlausible(text: string): Head {
    const head = decodeHead(text, namespace);
    if (head.epoch > clock.now() + EPOCH_AHEAD_MS_MAX) throw new RangeError(`its epoch ${head.epoch} is in the future`);
    return head;
  }

  function headOf(text: string | undefined, readAt: number): { head?: Head; fault?: HeadFault; detail?: string } {
    if (text === undefined) return { fault: "missing" };
    try {
      const head = decodePlausible(text);
      return state.acceptHead(head, readAt) === "incomplete" ? { fault: "incomplete" } : { head };
    } catch (error) {
      return { fault: "unreadable", detail: messageOf(error) };
    }
  }

  return {
    head(text, readAt) {
      const told = headOf(text, readAt);
      tell(told.fault, told.detail);
      return told.head;
    },
    sharedHead(text, readAt) {
      const head = decode("head", "", text, () => decodePlausible(text));
      return head && state.acceptHead(head, readAt) !== "incomplete" ? head : undefined;
    },
    snapshot(service, text, verified) {
      const snapshot = decode("service", service, text, () => decodeSnapshot(text, namespace, service));
      return snapshot && state.acceptSnapshot(snapshot, text.length, verified);
    },
    catalog(text) {
      const catalog = decode("catalog", "", text, () => decodeCatalog(text, namespace));
      if (catalog) state.acceptCatalog(catalog);
    },
  };
}
