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
  return key === undefined ? atRandom(candidates, random) : candidates[createKeyPicker(candidates)(key)];
}

/** For one pick: it costs less than to prepare for many. */
function atRandom(candidates: readonly Instance[], random: () => number): Instance | undefined {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) return candidates[Math.floor(random() * candidates.length)];
  let point = random() * total;
  return candidates.find(({ weight }) => (point -= weight) < 0);
}

/** Picks at random, again and again, by a bisection. What it gives is an index, -1 without candidates. */
export function createRandomPicker(candidates: readonly Instance[]): (random: () => number) => number {
  let total = 0;
  /** Of the weights up to and with each. One of weight 0 adds no part of its own, and is never met. */
  const sums = weightsOf(candidates).map((weight) => (total += weight));
  return (random) => {
    const point = random() * total;
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sums[middle] ?? 0) > point) high = middle;
      else low = middle + 1;
    }
    return Math.min(low, high);
  };
}

/**
 * Picks by key, again and again, at the cost of hashing the key for each candidate. What it gives is an index, -1
 * without candidates. Each key goes to the instance with the highest score, so that an instance that comes or goes moves
 * only its own share of the keys (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; the
 * weighted score -w / ln h after Schindelhauer and Schomaker, 2005). Of weight 0, it is 0, and all others are above.
 */
export function createKeyPicker(candidates: readonly Instance[]): (key: string) => number {
  const weights = weightsOf(candidates);
  const states = statesOfIds(candidates);
  return (key) => {
    let best = -1;
    let bestScore = -Infinity;
    for (let index = 0; index < weights.length; index++) {
      const high = finish(absorb(states[2 * index] ?? 0, key)) >>> 5;
      const low = finish(absorb(states[2 * index + 1] ?? 0, key)) >>> 6;
      // In (0, 1), of 53 bits: with 32, instances would tie now and then and the order of the list would decide.
      const hash = (high * 2 ** 26 + low + 0.5) / 2 ** 53;
      const score = -(weights[index] ?? 0) / Math.log(hash);
      if (score > bestScore) {
        best = index;
        bestScore = score;
      }
    }
    return best;
  };
}

/** What a picker keeps holds no instance, so that it keeps none alive. */
function weightsOf(candidates: readonly Instance[]): Float64Array {
  const weights = new Float64Array(candidates.length);
  const anyWeight = candidates.some(({ weight }) => weight > 0);
  candidates.forEach(({ weight }, index) => (weights[index] = anyWeight ? weight : 1));
  return weights;
}

/** The two hashes of each instance as far as its id goes; the key follows. */
function statesOfIds(candidates: readonly Instance[]): Uint32Array {
  const states = new Uint32Array(2 * candidates.length);
  candidates.forEach(({ id }, index) => {
    const text = `${id}\u0000`;
    states[2 * index] = absorb(0x811c9dc5, text);
    states[2 * index + 1] = absorb(0x9747b28c, text);
  });
  return states;
}

/** FNV-1a over UTF-16 units. */
function absorb(state: number, text: string): number {
  let hash = state;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** The avalanche of MurmurHash3, which FNV lacks in its last characters. */
function finish(state: number): number {
  let hash = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
