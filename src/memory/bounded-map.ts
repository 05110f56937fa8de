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
  /** The least recently used first. */
  values(): Iterable<V>;
}

/** Maps that keep within bounds together. What was used least recently goes first, whichever of them it is in. */
export interface BoundedMaps<K, V> {
  create(): BoundedMap<K, V>;
}

/** A map with bounds of its own. */
export function createBoundedMap<K, V>(options: BoundedMapOptions<V>): BoundedMap<K, V> {
  return createBoundedMaps<K, V>(options).create();
}

interface Item<K, V> {
  readonly key: K;
  readonly value: V;
  /** Of the map that it is in. */
  readonly items: Map<K, Item<K, V>>;
}

/**
 * Instead of a library: a Set remembers the order of insertion, and a full-featured cache would add a tenth to the
 * Worker's bundle, which every cold isolate pays for.
 */
export function createBoundedMaps<K, V>({
  entriesMax,
  weightMax = Infinity,
  weightOf = () => 0,
}: BoundedMapOptions<V>): BoundedMaps<K, V> {
  /** Of all maps, the least recently used first. */
  const all = new Set<Item<K, V>>();
  let weight = 0;

  function remove(item: Item<K, V> | undefined): void {
    if (item === undefined) return;
    weight -= weightOf(item.value);
    all.delete(item);
    item.items.delete(item.key);
  }

  return {
    create() {
      const items = new Map<K, Item<K, V>>();
      return {
        get(key) {
          const item = items.get(key);
          if (item === undefined) return undefined;
          all.delete(item);
          all.add(item);
          return item.value;
        },
        peek: (key) => items.get(key)?.value,
        has: (key) => items.has(key),
        set(key, value) {
          remove(items.get(key));
          const added = weightOf(value);
          if (added > weightMax) return;
          const item = { key, value, items };
          items.set(key, item);
          all.add(item);
          weight += added;
          for (const oldest of all) {
            if (all.size <= entriesMax && weight <= weightMax) return;
            remove(oldest);
          }
        },
        delete: (key) => remove(items.get(key)),
        values: () => [...all].filter((item) => item.items === items).map(({ value }) => value),
      };
    },
  };
}
