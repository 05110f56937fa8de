import type { Catalog } from "../../contract/catalog.ts";
import type { Head, RingEntry } from "../../contract/head.ts";
import { compareVersions, type Version } from "../../contract/version.ts";

/**
 * A held catalog, patched from each head's ring. `complete`: it holds every change up to the head's revision, so a name
 * that it lacks does not exist. `gap`: the ring no longer reached back, or the catalog had expired, and only another one mends
 * that. `confirmedAt`: of the last head that it was complete under, Infinity if none is known.
 */
type State =
  | { readonly type: "none" }
  | { readonly type: "complete"; readonly stored: Version }
  | { readonly type: "gap"; readonly stored: Version; readonly confirmedAt: number };

export interface KnownNames {
  /** Undefined when it cannot be told. */
  has(service: string): boolean | undefined;
  /** Whether the names are those of the head. */
  complete(): boolean;
  /** Whether names have ever been held: they can be listed as last-known-good at least. */
  held(): boolean;
  /** The `confirmedAt` of the last head that they were complete under; Infinity where they are, or none is known. */
  confirmedAt(): number;
  /** Whether the counts, too, are those of the catalog that the head names. */
  countsCurrent(head: Head): boolean;
  /** Ordered by name; the same array until something changes. */
  list(): readonly NamedCount[];
  /**
   * Takes a catalog read together with `head`, or before it; an older one changes nothing. One that has expired is not
   * complete, takes the place of none that is, and is as old as the head it was read with, by that one's `confirmedAt`.
   */
  accept(catalog: Catalog, head: Head, expired: boolean, confirmedAt?: number): void;
  /** Follows the head; `continuous` when its ring tells every change since `previous`. */
  advance(previous: Head, head: Head, continuous: boolean): void;
}

export interface NamedCount {
  readonly name: string;
  readonly instances: number;
}

export function createKnownNames(): KnownNames {
  let state: State = { type: "none" };
  let counts = new Map<string, number>();
  let listed: readonly NamedCount[] | undefined;

  function patch(entries: readonly RingEntry[], after: number): void {
    for (const [revision, service, change] of entries) {
      if (revision <= after) continue;
      listed = undefined;
      if (change === "removed") counts.delete(service);
      // The ring tells no count; a service it calls added has at least one instance.
      else if (!counts.has(service)) counts.set(service, 1);
    }
  }

  return {
    has: (service) => (state.type === "complete" ? counts.has(service) : undefined),
    complete: () => state.type === "complete",
    held: () => state.type !== "none",
    confirmedAt: () => (state.type === "gap" ? state.confirmedAt : Infinity),
    countsCurrent: (head) => state.type === "complete" && state.stored.revision >= head.catalogRevision,
    list() {
      listed ??= [...counts]
        .map(([name, instances]) => ({ name, instances }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1));
      return listed;
    },
    accept(catalog, head, expired, confirmedAt = Infinity) {
      if (!expired && (catalog.revision < head.catalogRevision || catalog.revision < head.ring.floor)) return;
      if (catalog.epoch < (head.lifeEpoch ?? 0) && !expired) return;
      // Of another lineage: what an earlier epoch knew of a later revision was lost. One that was taken over is the one that
      // the head names; any other may lack what was there when Redis was filled again, at a revision below its own.
      if (catalog.epoch < head.epoch && catalog.revision > (expired ? head.revision : head.catalogRevision)) return;
      const held = state.type === "none" ? undefined : state;
      if (expired && held?.type === "complete") return;
      const order = held ? compareVersions(catalog, held.stored) : 1;
      if (order < 0 || (order === 0 && held?.type === "complete")) return;
      counts = new Map(catalog.services);
      listed = undefined;
      const stored = { epoch: catalog.epoch, revision: catalog.revision };
      state = expired ? { type: "gap", stored, confirmedAt } : { type: "complete", stored };
      patch(head.ring.entries, catalog.revision);
    },
    advance(previous, head, continuous) {
      if (state.type !== "complete") return;
      if (continuous) patch(head.ring.entries, state.stored.revision);
      else state = { type: "gap", stored: state.stored, confirmedAt: previous.confirmedAt };
    },
  };
}
