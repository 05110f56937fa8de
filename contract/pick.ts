import type { Instance } from "./snapshot.ts";

/**
 * One of the candidates, by the same rules wherever it is picked, at the edge or in a client: by weighted rendezvous
 * hashing of `key`, or else at random in proportion to the weights. Weight 0 is picked only when all weights are 0, and
 * then all count the same. `random` gives numbers in [0, 1). Undefined without candidates.
 */
export function pick(
  candidates: readonly Instance[],
  key: string | undefined,
  random: () => number,
): Instance | undefined {
  const weighted = candidates.filter(({ weight }) => weight > 0);
  const pool = weighted.length > 0 ? weighted : candidates;
  const weightOf = weighted.length > 0 ? ({ weight }: Instance) => weight : () => 1;
  return key === undefined ? atRandom(pool, weightOf, random) : byKey(pool, weightOf, key);
}

function atRandom(
  pool: readonly Instance[],
  weightOf: (instance: Instance) => number,
  random: () => number,
): Instance | undefined {
  let point = random() * pool.reduce((sum, instance) => sum + weightOf(instance), 0);
  for (const instance of pool) {
    point -= weightOf(instance);
    if (point < 0) return instance;
  }
  return pool.at(-1);
}

/**
 * Each key goes to the instance with the highest score, so that an instance that comes or goes moves only its own share
 * of the keys (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; the weighted score
 * -w / ln h after Schindelhauer and Schomaker, 2005).
 */
function byKey(pool: readonly Instance[], weightOf: (instance: Instance) => number, key: string): Instance | undefined {
  let best: Instance | undefined;
  let bestScore = -Infinity;
  for (const instance of pool) {
    const score = -weightOf(instance) / Math.log(unitHash(`${instance.id}\u0000${key}`));
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
