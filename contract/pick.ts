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
  const index = key === undefined ? createRandomPicker(candidates)(random) : createKeyPicker(candidates)(key);
  return candidates[index];
}

/** Those that can be picked at all. Holds no instance, so that a picker that is kept keeps none alive. */
interface Pool {
  /** Among the candidates. */
  readonly indexes: Uint32Array;
  readonly weights: Float64Array;
}

function poolOf(candidates: readonly Instance[]): Pool {
  const anyWeight = candidates.some(({ weight }) => weight > 0);
  const indexes = Uint32Array.from(candidates.keys()).filter((index) => !anyWeight || weightOf(candidates[index]) > 0);
  return { indexes, weights: Float64Array.from(indexes, (index) => (anyWeight ? weightOf(candidates[index]) : 1)) };
}

function weightOf(instance: Instance | undefined): number {
  return instance?.weight ?? 0;
}

/** Picks at random, again and again, by a bisection. What it gives is an index, -1 without candidates. */
export function createRandomPicker(candidates: readonly Instance[]): (random: () => number) => number {
  const { indexes, weights } = poolOf(candidates);
  let total = 0;
  /** Of the weights up to and with each of the pool. */
  const sums = weights.map((weight) => (total += weight));
  return (random) => {
    const point = random() * total;
    let low = 0;
    let high = indexes.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sums[middle] ?? 0) > point) high = middle;
      else low = middle + 1;
    }
    return indexes[low] ?? -1;
  };
}

/**
 * Picks by key, again and again, at the cost of hashing the key for each candidate. What it gives is an index, -1
 * without candidates. Each key goes to the instance with the highest score, so that an instance that comes or goes moves
 * only its own share of the keys (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; the
 * weighted score -w / ln h after Schindelhauer and Schomaker, 2005).
 */
export function createKeyPicker(candidates: readonly Instance[]): (key: string) => number {
  const { indexes, weights } = poolOf(candidates);
  const states = statesOfIds(indexes, candidates);
  return (key) => {
    let best = -1;
    let bestScore = -Infinity;
    for (let slot = 0; slot < indexes.length; slot++) {
      const high = finish(absorb(states[2 * slot] ?? 0, key)) >>> 5;
      const low = finish(absorb(states[2 * slot + 1] ?? 0, key)) >>> 6;
      // In (0, 1), of 53 bits: with 32, instances would tie now and then and the order of the list would decide.
      const hash = (high * 2 ** 26 + low + 0.5) / 2 ** 53;
      const score = -(weights[slot] ?? 0) / Math.log(hash);
      if (score > bestScore) {
        best = indexes[slot] ?? -1;
        bestScore = score;
      }
    }
    return best;
  };
}

/** The two hashes of each instance as far as its id goes; the key follows. */
function statesOfIds(indexes: Uint32Array, candidates: readonly Instance[]): Uint32Array {
  const states = new Uint32Array(2 * indexes.length);
  indexes.forEach((index, slot) => {
    const text = `${candidates[index]?.id ?? ""}\u0000`;
    states[2 * slot] = absorb(0x811c9dc5, text);
    states[2 * slot + 1] = absorb(0x9747b28c, text);
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
