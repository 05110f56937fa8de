import type { Instance } from "../contract/snapshot.ts";

/**
 * Weighted rendezvous hashing: each key goes to the instance with the highest score, so that an instance that comes or
 * goes moves only its own share of the keys (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
 * 1998; the weighted score -w / ln h after Schindelhauer and Schomaker, 2005). Undefined without candidates.
 */
export function rendezvous(candidates: readonly Instance[], key: string): Instance | undefined {
  let best: Instance | undefined;
  let bestScore = -Infinity;
  for (const instance of candidates) {
    const score = -instance.weight / Math.log(unitHash(`${instance.id}\u0000${key}`));
    if (score > bestScore) {
      best = instance;
      bestScore = score;
    }
  }
  return best;
}

/** A hash in (0, 1), of 53 bits: with 32, instances would tie now and then and the order of the list would decide. */
function unitHash(text: string): number {
  const high = hash32(text, 0x811c9dc5) >>> 5;
  const low = hash32(text, 0x9747b28c) >>> 6;
  return (high * 2 ** 26 + low + 0.5) / 2 ** 53;
}

/** FNV-1a over UTF-16 units, then the avalanche of MurmurHash3, which FNV lacks in its last characters. */
function hash32(text: string, seed: number): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
