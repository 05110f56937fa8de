import type { Etcd, KeyValue, WatchEvent } from "./port.ts";

/** An event by which the history that was followed can be told from another: the last thing that happened in it. */
export type Landmark = WatchEvent;

/** The landmark of a list: what was put at its very revision, if anything was. */
export function landmarkOfList(entries: readonly KeyValue[], revision: number): Landmark | undefined {
  const entry = entries.find(({ modRevision }) => modRevision === revision);
  return entry && { type: "put", entry };
}

/** The landmark of events: one of the last revision, a put if there is one, since that takes one read to find again. */
export function landmarkOfEvents(events: readonly WatchEvent[]): Landmark | undefined {
  const revision = events.at(-1)?.entry.modRevision;
  const last = events.filter(({ entry }) => entry.modRevision === revision);
  // Of a delete we must know what it deleted: that nothing is there is true of many a history.
  return last.find(({ type }) => type === "put") ?? last.find(({ entry }) => entry.createRevision > 0);
}

/**
 * Whether etcd's history still has `landmark`. After a restore from a backup it has not, also where its revision has
 * passed the landmark's again meanwhile: what stands at that revision is then something else. A lease's id is in the
 * comparison, and so two histories that wrote the same are told apart. Rejects with an EtcdError: `future` when the
 * history ends before the landmark, `compacted` when nobody can tell any more.
 */
export async function hasLandmark(etcd: Pick<Etcd, "get">, { type, entry }: Landmark): Promise<boolean> {
  const { entry: then } = await etcd.get(entry.key, entry.modRevision);
  if (type === "put") return then?.modRevision === entry.modRevision && isSame(then, entry);
  if (then !== undefined) return false;
  const { entry: before } = await etcd.get(entry.key, entry.modRevision - 1);
  return before !== undefined && isSame(before, entry);
}

function isSame(a: KeyValue, b: KeyValue): boolean {
  return a.createRevision === b.createRevision && a.lease === b.lease && a.value === b.value;
}
