import { decodeCatalog } from "../../contract/catalog.ts";
import type { DocumentKind } from "../../contract/document.ts";
import { decodeHead, EPOCH_AHEAD_MS_MAX, type Head } from "../../contract/head.ts";
import { decodeSnapshot } from "../../contract/snapshot.ts";
import { compareVersions, type Version } from "../../contract/version.ts";
import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { ResolverLog } from "../log.ts";
import type { Entry, NamespaceState } from "../memory/namespace-state.ts";
import type { Verified } from "../store/stored-reading.ts";
import type { Opened, Origin } from "./opening.ts";
import type { Refusals } from "./refusals.ts";

/** Characters of one stored document. What is longer is not held: an isolate has 128 MB in all. */
const DOCUMENT_CHARACTERS_MAX = 16_000_000;

/** Why a head told nothing. One that is refused is told by `refusals`. */
type HeadFault = "missing" | "incomplete";

export interface Taken {
  /** What is held now: the newer of the two. */
  readonly entry: Entry;
  /** Of what was read. */
  readonly version: Version;
}

/** Whether what was read is what is held, and not something older that a lagging replica had. */
export function isHeld({ entry, version }: Taken): boolean {
  return compareVersions(version, entry.held.snapshot) === 0;
}

/** Takes documents as they were read and opened, from Redis or the colo cache, into the state: each checked by its codec first. */
export interface Reading {
  /** Redis' head; undefined when it told nothing. One older than the held one tells something all the same. */
  head(opened: Opened | undefined, readAt: number): Head | undefined;
  /** The head that another store than Redis had. */
  sharedHead(opened: Opened, readAt: number, from: Origin): Head | undefined;
  /** `verified`: the head it was read with, at `readAt`. */
  snapshot(service: string, opened: Opened, verified: Verified, readAt: number, from: Origin): Taken | undefined;
  /** `confirmedAt`: of the head that a copy was read with. */
  catalog(opened: Opened, from: Origin, confirmedAt?: number): void;
}

export interface ReadingOptions {
  readonly namespace: string;
  readonly state: NamespaceState;
  readonly refusals: Refusals;
  readonly clock: Pick<Clock, "now">;
  readonly log: ResolverLog;
}

export function createReading({ namespace, state, refusals, clock, log }: ReadingOptions): Reading {
  let faultTold: HeadFault | undefined;

  /** An operator hears of each change once, not of every reading. */
  function tell(fault: HeadFault | undefined): void {
    if (fault === faultTold) return;
    faultTold = fault;
    if (fault === undefined) log.info({ namespace }, "the head in Redis is complete again");
    else log.warn({ namespace, fault }, "the head in Redis tells nothing: what is held is served on");
  }

  /** What the codec makes of a document. What has expired is counted, and given all the same. */
  function decode<T>(
    kind: DocumentKind,
    name: string,
    opened: Opened,
    from: Origin,
    decoder: (document: string) => T,
  ): T | undefined {
    if (opened.type === "refused") {
      refusals.refused(kind, name, from, opened.fault, opened.detail);
      return undefined;
    }
    const { document, expired } = opened;
    try {
      if (document.length > DOCUMENT_CHARACTERS_MAX) throw new RangeError(`it has ${document.length} characters`);
      const decoded = decoder(document);
      if (expired) refusals.refused(kind, name, from, "expired");
      return decoded;
    } catch (error) {
      refusals.refused(kind, name, from, "unreadable", messageOf(error));
      return undefined;
    }
  }

  function plausibleHead(opened: Opened, readAt: number, from: Origin): Head | undefined {
    const head = decode("head", "", opened, from, (document) => decodeHead(document, namespace));
    if (!head) return undefined;
    if (head.epoch > clock.now() + EPOCH_AHEAD_MS_MAX) {
      refusals.refused("head", "", from, "implausible", `Its epoch ${head.epoch} is in the future.`);
      return undefined;
    }
    const expired = isExpired(opened);
    const epochHeld = state.head()?.epoch ?? 0;
    const outcome = state.acceptHead(head, readAt, expired);
    if (outcome === "incomplete") {
      if (from === "redis") tell("incomplete");
      return undefined;
    }
    if (from === "redis") tell(undefined);
    // A replica that lags shows this too, for as long as it does.
    if (head.epoch < epochHeld) refusals.refused("head", "", from, "replayed", `Its epoch is older than ${epochHeld}.`);
    else if (!expired) refusals.accepted("head", "", from);
    return head;
  }

  /** Only what was current when it was read is shared. One read after the held head that it is older than was behind even so. */
  function currentThen(readAt: number, from: Origin, expired: boolean): number {
    if (from === "deep") return readAt;
    return from === "colo" && !expired && readAt < state.readAt() ? readAt : -Infinity;
  }

  return {
    head(opened, readAt) {
      if (opened) return plausibleHead(opened, readAt, "redis");
      tell("missing");
      return undefined;
    },
    sharedHead: (opened, readAt, from) => plausibleHead(opened, readAt, from),
    snapshot(service, opened, verified, readAt, from) {
      const snapshot = decode("service", service, opened, from, (document) =>
        decodeSnapshot(document, namespace, service),
      );
      if (!snapshot || opened.type === "refused") return undefined;
      // That a service has ended is not believed for longer than it was said.
      if (opened.expired && snapshot.tombstoneUntil !== undefined) return undefined;
      if (!opened.expired) refusals.accepted("service", service, from);
      const since = currentThen(readAt, from, opened.expired);
      const entry = state.acceptSnapshot(snapshot, opened.document.length, verified, since, opened.expired);
      return { entry, version: snapshot };
    },
    catalog(opened, from, confirmedAt) {
      const catalog = decode("catalog", "", opened, from, (document) => decodeCatalog(document, namespace));
      if (!catalog) return;
      if (!isExpired(opened)) refusals.accepted("catalog", "", from);
      state.acceptCatalog(catalog, from === "deep" || isExpired(opened), confirmedAt);
    },
  };
}

function isExpired(opened: Opened): boolean {
  return opened.type === "valid" && opened.expired;
}
