/**
 * What the publisher asks of Redis, over Upstash's REST protocol or a direct connection. Every call is bounded in
 * time and rejects when Redis cannot be reached or refuses; none retries by itself.
 */
export interface SnapshotStore {
  /** Redis' own time, milliseconds since the epoch. */
  timeMs(): Promise<number>;
  /** Runs a Lua script (by its hash, sent whole when Redis does not know it); integers and strings come back. */
  evaluate(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  close(): Promise<void>;
}
