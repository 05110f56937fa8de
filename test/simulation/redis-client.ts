import { FingerpostError } from "../../kernel/errors.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import type { ReadStore } from "../../src/store/redis.ts";
import type { Link } from "./link.ts";
import type { RedisModel } from "./redis-model.ts";

/** As of the product's own clients. */
const WRITE_TIMEOUT_MS = 2000;
const READ_TIMEOUT_MS = 2000;

const timedOut = () => new FingerpostError("unavailable", "Redis: no answer in time.");

function ask<T>(model: RedisModel, effect: () => T): T {
  if (!model.up) throw new FingerpostError("unavailable", "Redis: connection refused.");
  try {
    return effect();
  } catch (error) {
    throw error instanceof FingerpostError ? error : new FingerpostError("unavailable", `Redis: ${String(error)}.`);
  }
}

/** What a publisher has of the Redis of its world. */
export function createSnapshotStore(model: RedisModel, link: Link, by: string): SnapshotStore {
  const call = <T>(effect: () => T) => link.call(() => ask(model, effect), WRITE_TIMEOUT_MS, timedOut);
  return {
    timeMs: () => call(() => model.timeMs()),
    evaluate: (script, keys, args) => call(() => model.evaluate(by, script, keys, args)),
    close: () => Promise.resolve(),
  };
}

/** What a resolver has of it. `from` is asked before each request: each may go to another server. */
export function createReadStore(model: RedisModel, link: Link, from: () => "master" | "replica"): ReadStore {
  async function mget(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    const server = from();
    const read = () => keys.map((key) => model.get(key, server));
    return link.call(() => ask(model, read), READ_TIMEOUT_MS, timedOut);
  }
  return {
    timeoutMs: READ_TIMEOUT_MS,
    mget,
    async get(key) {
      const [text] = await mget([key]);
      return text;
    },
  };
}
