import type { Catalog } from "../../contract/catalog.ts";
import type { Head, RingEntry } from "../../contract/head.ts";
import type { ServiceSnapshot } from "../../contract/snapshot.ts";
import { compareVersions, type Version } from "../../contract/version.ts";
import type { Verified } from "../store/stored-reading.ts";
import type { BoundedMap } from "./bounded-map.ts";
import { continues } from "./continuity.ts";
import { createHeld, type Held } from "./held.ts";
import { createKnownNames, type KnownNames } from "./known-names.ts";

/**
 * How a held snapshot stands to the held head. `current` until a head says otherwise. `behind`: the ring names a later
 * revision, and a snapshot of that revision moves it out. `unverified`: the ring no longer reaches back to where it was
 * last read, and any reading together with a head moves it out. `since`: when it was last current (monotonic), -Infinity
 * if never; `confirmedAt`: what the head said then, which no later head makes any younger.
 */
export type Standing =
  | { readonly type: "current" }
  | { readonly type: "behind" | "unverified"; readonly since: number; readonly confirmedAt: number };

export interface Entry {
  readonly held: Held;
  standing: Standing;
}

export interface NamespaceState {
  readonly names: KnownNames;
  head(): Head | undefined;
  /** When the reading of the head began, monotonic; -Infinity without one. */
  readAt(): number;
  /** When this isolate first read the head's `confirmedAt`, monotonic. */
  confirmationSeenAt(): number;
  entry(service: string): Entry | undefined;
  /** The monotonic time as of which the entry was current. */
  currentAt(entry: Entry): number;
  /** The `confirmedAt` of the last head that it was current under; Infinity if none is known. */
  confirmedAt(entry: Entry): number;
  /** The latest change of a service that the head's ring tells. */
  change(service: string): RingEntry | undefined;
  /** Held services whose newer snapshot is known to exist, at most `countMax`. */
  behind(countMax: number): readonly string[];
  /** Held services that a gap in the ring has left unverified, what was in use last first. */
  unverified(): Iterable<Entry>;
  /**
   * What was read together with an older head still counts, as far as it is newer; from an incomplete one nothing does. One
   * that has expired is taken like any other, and counts as no reading.
   */
  acceptHead(head: Head, readAt: number, expired?: boolean): "applied" | "older" | "incomplete";
  /**
   * `verified`: the head read together with the snapshot. `currentAt`: when it is known to have been current, monotonic,
   * should it not be so any more; -Infinity if that is not known. Returns the entry that is now held, the newer of the
   * two. What has expired is never current.
   */
  acceptSnapshot(
    snapshot: ServiceSnapshot,
    textLength: number,
    verified: Verified,
    currentAt: number,
    expired?: boolean,
  ): Entry;
  /** No absence follows from one that has expired. */
  acceptCatalog(catalog: Catalog, expired?: boolean, confirmedAt?: number): void;
  /** Forgets a service that a complete head, and catalog or ring, say has ended. */
  drop(service: string): void;
}

/** What an isolate knows of one namespace. It only moves forward by (epoch, revision). `entries` may drop what it holds. */
export function createNamespaceState(entries: BoundedMap<string, Entry>): NamespaceState {
  const names = createKnownNames();
  const behind = new Set<string>();
  const unverified = new Set<string>();
  let changes = new Map<string, RingEntry>();
  let head: Head | undefined;
  let readAt = -Infinity;
  let confirmationSeenAt = -Infinity;

  const currentAt = (entry: Entry) => (entry.standing.type === "current" ? readAt : entry.standing.since);
  const confirmed = ({ standing }: Entry) => (standing.type === "current" ? head : standing)?.confirmedAt ?? Infinity;
  const left = (type: "behind" | "unverified", entry: Entry): Standing => ({
    type,
    since: currentAt(entry),
    confirmedAt: confirmed(entry),
  });

  /** Must run before `readAt` moves: it is what the entries were current as of. */
  function advance(previous: Head, next: Head): void {
    const continuous = continues(previous, next);
    changes = new Map(next.ring.entries.map((entry) => [entry[1], entry]));
    names.advance(previous, next, continuous);
    if (!continuous) {
      behind.clear();
      unverified.clear();
      for (const entry of [...entries.values()].toReversed()) {
        entry.standing = left("unverified", entry);
        unverified.add(entry.held.snapshot.service);
      }
      return;
    }
    for (const [revision, service] of next.ring.entries) {
      const entry = entries.peek(service);
      if (!entry || revision <= entry.held.snapshot.revision || entry.standing.type === "unverified") continue;
      entry.standing = left("behind", entry);
      behind.add(service);
    }
  }

  /** How something read together with the head `verified` stands to the held head. */
  function standingOf(snapshot: ServiceSnapshot, verified: Version): Standing["type"] {
    if (!head) return "unverified";
    if (verified.epoch > head.epoch) return "current";
    if (verified.epoch < head.epoch || verified.revision < head.ring.floor) return "unverified";
    const [revision = 0] = changes.get(snapshot.service) ?? [];
    return revision > snapshot.revision ? "behind" : "current";
  }

  return {
    names,
    head: () => head,
    readAt: () => readAt,
    confirmationSeenAt: () => confirmationSeenAt,
    entry: (service) => entries.get(service),
    currentAt,
    confirmedAt: confirmed,
    change: (service) => changes.get(service),
    behind(countMax) {
      for (const service of behind) if (!entries.has(service)) behind.delete(service);
      return [...behind].slice(0, countMax);
    },
    *unverified() {
      for (const service of unverified) {
        const entry = entries.peek(service);
        if (entry?.standing.type === "unverified") yield entry;
        else unverified.delete(service);
      }
    },
    acceptHead(next, nextReadAt, expired = false) {
      if (!next.complete) return "incomplete";
      const order = head ? compareVersions(next, head) : 1;
      if (order < 0) return "older";
      if (head && order > 0) advance(head, next);
      else if (!head) changes = new Map(next.ring.entries.map((entry) => [entry[1], entry]));
      const confirmedAt = head?.confirmedAt ?? -Infinity;
      // A later version was confirmed later, whatever its clock says: it may have been set back, or be a new publisher's. Of
      // the same version a replica, or a copy, may lag, and only the clock tells.
      const isLater = order > 0 || next.confirmedAt >= confirmedAt;
      if (isLater && next.confirmedAt !== confirmedAt) confirmationSeenAt = nextReadAt;
      head = isLater ? next : { ...next, confirmedAt };
      if (!expired) readAt = Math.max(readAt, nextReadAt);
      return "applied";
    },
    acceptSnapshot(snapshot, textLength, verified, currentThen, expired = false) {
      const { service } = snapshot;
      const existing = entries.peek(service);
      const order = existing ? compareVersions(snapshot, existing.held.snapshot) : 1;
      // What is current stays so until a head says otherwise: an older reading of the same says nothing.
      if (existing && (order < 0 || (order === 0 && existing.standing.type === "current"))) return existing;
      const type = expired ? "unverified" : standingOf(snapshot, verified);
      // Whichever says that it was current later. What replaces an older one is as new as that was.
      const standing: Standing =
        type === "current"
          ? { type }
          : existing && currentAt(existing) >= currentThen
            ? left(type, existing)
            : { type, since: currentThen, confirmedAt: verified.confirmedAt };
      if (standing.type === "behind") behind.add(service);
      else behind.delete(service);
      if (existing && order === 0) {
        existing.standing = standing;
        return existing;
      }
      const entry: Entry = { held: createHeld(snapshot, textLength), standing };
      entries.set(service, entry);
      return entry;
    },
    acceptCatalog(catalog, expired = false, confirmedAt = Infinity) {
      if (head) names.accept(catalog, head, expired, confirmedAt);
    },
    drop(service) {
      entries.delete(service);
      behind.delete(service);
    },
  };
}
