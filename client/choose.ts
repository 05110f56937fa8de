import type { Instance } from "../contract/snapshot.ts";

/**
 * One of the instances, by the same rules as the resolver's `/pick`: by rendezvous hashing of `key`, else at random in
 * proportion to the weights. Weight 0 is chosen only when all weights are 0, and then all count the same. Undefined
 * without instances.
 */
export function choose(
  instances: readonly Instance[],
  key: string | undefined,
  random: () => number,
): Instance | undefined {
  const weighted = instances.filter(({ weight }) => weight > 0);
  const candidates = weighted.length > 0 ? weighted : instances;
  const weightOf = weighted.length > 0 ? ({ weight }: Instance) => weight : () => 1;
  return key === undefined ? atRandom(candidates, weightOf, random) : byKey(candidates, weightOf, key);
}

function atRandom(
  candidates: readonly Instance[],
  weightOf: (instance: Instance) => number,
  random: () => number,
): Instance | undefined {
  let point = random() * candidates.reduce((sum, instance) => sum + weightOf(instance), 0);
  for (const instance of candidates) {
    point -= weightOf(instance);
    if (point < 0) return instance;
  }
  return candidates.at(-1);
}

/** Weighted rendezvous hashing: the highest score of -w / ln h (Schindelhauer and Schomaker, 2005). */
function byKey(
  candidates: readonly Instance[],
  weightOf: (instance: Instance) => number,
  key: string,
): Instance | undefined {
  let best: { readonly instance: Instance; readonly score: number } | undefined;
  for (const instance of candidates) {
    const score = -weightOf(instance) / Math.log(unitHash(`${instance.id}\u0000${key}`));
    if (!best || score > best.score) best = { instance, score };
  }
  return best?.instance;
}

/** In (0, 1), of 53 bits. Every bit is as the resolver's: one key leads to one instance whoever chooses. */
function unitHash(text: string): number {
  return ((hash32(text, 0x811c9dc5) >>> 5) * 2 ** 26 + (hash32(text, 0x9747b28c) >>> 6) + 0.5) / 2 ** 53;
}

/** FNV-1a over UTF-16 units, finished like MurmurHash3. */
function hash32(text: string, seed: number): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
