/** Keys of one MGET: a bound on what one answer can weigh. */
export const MGET_KEYS_MAX = 65;

/**
 * What the resolver asks of Redis. A call makes one request, ends within `timeoutMs`, and rejects with `unavailable` for
 * whatever is not a proper answer: only what Redis itself calls missing comes back as undefined.
 */
export interface ReadStore {
  /** What one request takes at most. */
  readonly timeoutMs: number;
  get(key: string): Promise<string | undefined>;
  /** In the order of `keys`, of which there are at most MGET_KEYS_MAX. */
  mget(keys: readonly string[]): Promise<readonly (string | undefined)[]>;
  /**
   * Whether the credentials would let a write pass, found out by one that changes nothing where `vacantKey` does not
   * exist. Rejects where the answer tells neither. A store without it is taken at its word.
   */
  mayWrite?(vacantKey: string): Promise<boolean>;
}

/** Long enough for a cold start across the world; a dead connection holds up nobody, since callers have a budget. */
export const STORE_TIMEOUT_MS_DEFAULT = 2000;
