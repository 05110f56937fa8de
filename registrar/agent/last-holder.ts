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
  let [asWritten, after, found] = [writtenAt, goneAt, undefined as KeyValue | undefined];
  while (after - asWritten > 1) {
    const middle = Math.floor((asWritten + after) / 2);
    const then = await stateAt(etcd, key, middle);
    // Before what etcd still has nobody can look, and after it the move may stand: most are written long before.
    if (then === "compacted" || then?.modRevision === writtenAt) asWritten = middle;
    else [after, found] = [middle, then];
  }
  return found;
}

async function stateAt(
  etcd: Pick<Etcd, "get">,
  key: string,
  revision: number,
): Promise<KeyValue | "compacted" | undefined> {
  try {
    return (await etcd.get(key, revision)).entry;
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    if (error.code === "compacted") return "compacted";
    // Etcd was restored since, and has not come so far.
    if (error.code === "future") return undefined;
    throw error;
  }
}
