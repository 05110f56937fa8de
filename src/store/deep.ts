/**
 * Where last-known-good copies are kept for isolates that hold nothing when Redis is away: a KV namespace of Cloudflare,
 * or anything else that outlives an isolate and is reached without Redis. It may lag, and may lose anything at any time.
 */
export interface DeepStore {
  /** Keys are of at most 512 bytes. */
  get(key: string): Promise<string | undefined>;
  put(key: string, text: string): Promise<void>;
}
