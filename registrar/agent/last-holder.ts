import { EtcdError, type Etcd, type KeyValue } from "../etcd/port.ts";

/** Revisions looked at in one transaction: of 16,000 it takes two to find one, of two millions three. */
const LOOKS_MAX = 127;

export interface Gone {
  readonly key: string;
  /** The revision at which it was last seen as it was written. */
  readonly writtenAt: number;
  /** A later one, at which there was none. */
  readonly goneAt: number;
}

/**
 * What stood under a key between what this agent wrote and nothing, by etcd's own history: undefined where it was deleted
 * as this agent had written it, or where etcd no longer tells.
 */
export async function nextState(etcd: Pick<Etcd, "transact">, gone: Gone): Promise<KeyValue | undefined> {
  const { key, writtenAt, goneAt } = gone;
  const isBefore = (then: KeyValue | undefined) => then?.modRevision === writtenAt;
  try {
    const after: Change = { at: goneAt, entry: undefined };
    return (await firstChange(etcd, { key, before: writtenAt, after, isBefore })).entry;
  } catch (error) {
    // Etcd was restored since, and has not come so far.
    if (error instanceof EtcdError && error.code === "future") return undefined;
    throw error;
  }
}

/** What a key was from a revision on; `entry` is undefined where there was none. */
export interface Change {
  readonly at: number;
  readonly entry: KeyValue | undefined;
}

export interface ChangeSearch {
  readonly key: string;
  /** A revision at which the key was as `isBefore` tells. */
  readonly before: number;
  /** It is no longer so at a later one. */
  readonly after: Change;
  readonly isBefore: (then: KeyValue | undefined) => boolean;
}

/**
 * A revision at which a key changed from what it was to something else, and to what. Nobody can look at what etcd has
 * compacted: then it is the first one that is left, where the change was before that.
 */
export async function firstChange(etcd: Pick<Etcd, "transact">, search: ChangeSearch): Promise<Change> {
  const { key, isBefore } = search;
  let { before, after } = search;
  let looks = LOOKS_MAX;
  while (after.at - before > 1) {
    const revisions = spread(before, after.at, looks);
    const states = await statesAt(etcd, key, revisions);
    if (states === "compacted") {
      // One that is compacted says so of all before it, and the change may stand after it; of many nobody says which.
      if (looks === 1) before = revisions[0] ?? before;
      looks = 1;
      continue;
    }
    const changed = states.findIndex((then) => !isBefore(then));
    const last = revisions.at(changed === -1 ? -1 : changed - 1);
    if (changed !== 0 && last !== undefined) [before, looks] = [last, LOOKS_MAX];
    const at = revisions[changed];
    if (at !== undefined) after = { at, entry: states[changed] };
  }
  return after;
}

/** Up to `count` of the revisions between two, in equal steps. */
function spread(from: number, to: number, count: number): number[] {
  const between = Math.min(count, to - from - 1);
  const step = (to - from) / (between + 1);
  return Array.from({ length: between }, (_, index) => from + Math.floor((index + 1) * step));
}

async function statesAt(
  etcd: Pick<Etcd, "transact">,
  key: string,
  revisions: readonly number[],
): Promise<readonly (KeyValue | undefined)[] | "compacted"> {
  try {
    const reads = revisions.map((atRevision) => ({ type: "get", key, atRevision }) as const);
    return (await etcd.transact([], reads)).results;
  } catch (error) {
    if (error instanceof EtcdError && error.code === "compacted") return "compacted";
    throw error;
  }
}
