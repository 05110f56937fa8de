import { EtcdError, type Etcd, type KeyValue } from "../etcd/port.ts";

export interface Gone {
  readonly key: string;
  /** The revision at which it was last seen as it was written. */
  readonly writtenAt: number;
  /** A later one, at which there was none. */
  readonly goneAt: number;
}

/**
 * What stood under a key between what this agent wrote and nothing, by etcd's own history: undefined where it was deleted
 * as this agent had written it, or where etcd no longer tells. The next state is looked for by halves, so it costs one
 * read for each doubling of the revisions between.
 */
export async function nextState(etcd: Pick<Etcd, "get">, gone: Gone): Promise<KeyValue | undefined> {
  const { key, writtenAt, goneAt } = gone;
  try {
    let [asWritten, after, found] = [writtenAt, goneAt, undefined as KeyValue | undefined];
    while (after - asWritten > 1) {
      const middle = Math.floor((asWritten + after) / 2);
      const { entry } = await etcd.get(key, middle);
      if (entry?.modRevision === writtenAt) asWritten = middle;
      else [after, found] = [middle, entry];
    }
    return found;
  } catch (error) {
    // Compacted, or of an etcd that was restored since and has not come so far.
    if (error instanceof EtcdError && (error.code === "compacted" || error.code === "future")) return undefined;
    throw error;
  }
}
