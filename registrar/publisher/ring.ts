import { RING_BYTES_MAX, type Ring, type RingEntry } from "../../contract/head.ts";

/** What one commit did to one service. */
export interface RingChange {
  readonly service: string;
  readonly change: RingEntry[2];
}

/** A ring that tells of nothing up to `revision`: what is held from before is to be read again. */
export function emptyRing(revision: number): Ring {
  return { floor: revision, entries: [] };
}

/**
 * The ring after a commit at `revision`, which is above all of the ring's. The oldest entries go until its JSON fits
 * `bytesMax`, and the floor rises to the revision of the last that went.
 */
export function addToRing(
  ring: Ring,
  changes: readonly RingChange[],
  revision: number,
  bytesMax: number = RING_BYTES_MAX,
): Ring {
  if (changes.length === 0) return ring;
  const changed = new Set(changes.map(({ service }) => service));
  const entries: RingEntry[] = [
    ...ring.entries.filter(([, service]) => !changed.has(service)),
    ...changes.map(({ service, change }): RingEntry => [revision, service, change]),
  ];
  // With the floor at its largest, so that a rise of the floor never makes what fitted too long.
  let bytes = Buffer.byteLength(JSON.stringify({ floor: revision, entries }));
  let floor = ring.floor;
  let dropped = 0;
  while (bytes > bytesMax && dropped < entries.length) {
    const entry = entries[dropped] as RingEntry;
    // One comma goes with each entry but the last.
    bytes -= Buffer.byteLength(JSON.stringify(entry)) + (dropped === entries.length - 1 ? 0 : 1);
    floor = entry[0];
    dropped++;
  }
  return { floor, entries: entries.slice(dropped) };
}
