export interface BoundedMapOptions<V> {
  readonly entriesMax: number;
  /** Of all values together, in whatever unit `weightOf` counts. */
  readonly weightMax?: number;
  readonly weightOf?: (value: V) => number;
}

/** A map that keeps within its bounds by dropping what was used least recently. */
export interface BoundedMap<K, V> {
  /** Counts as a use. */
  get(key: K): V | undefined;
  /** Does not count as a use. */
  peek(key: K): V | undefined;
  has(key: K): boolean;
  /** A value heavier than the whole map is not kept, nor is the one it would have replaced. */
  set(key: K, value: V): void;
  delete(key: K): void;
  values(): Iterable<V>;
}

/**
 * Instead of a library: a Map remembers the order of insertion, and a full-featured cache would add a tenth to the
 * Worker's bundle, which every cold isolate pays for.
 */
export function createBoundedMap<K, V>({
  entriesMax,
  weightMax = Infinity,
  weightOf = () => 0,
}: BoundedMapOptions<V>): BoundedMap<K, V> {
  /** The least recently used first. */
  const entries = new Map<K, V>();
  let weight = 0;

  function remove(key: K): void {
    const value = entries.get(key);
    if (value === undefined) return;
    weight -= weightOf(value);
    entries.delete(key);
  }

  return {
    get(key) {
      const value = entries.get(key);
      if (value === undefined) return undefined;
      entries.delete(key);
      entries.set(key, value);
      return value;
    },
    peek: (key) => entries.get(key),
    has: (key) => entries.has(key),
    set(key, value) {
      remove(key);
      const added = weightOf(value);
      if (added > weightMax) return;
      entries.set(key, value);
      weight += added;
      for (const oldest of entries.keys()) {
        if (entries.size <= entriesMax && weight <= weightMax) return;
        remove(oldest);
      }
    },
    delete: remove,
    values: () => entries.values(),
  };
}
