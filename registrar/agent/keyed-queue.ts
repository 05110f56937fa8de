import type { Clock } from "../../kernel/clock.ts";
import { DeadlineExceeded, within } from "../../kernel/deadline.ts";
import { FingerpostError } from "../../kernel/errors.ts";

/** Operations that may wait for one key. More is a client in a loop: each of them would only repeat the last. */
const WAITING_PER_KEY_MAX = 128;
/** Operations in all, waiting and running: what a burst may cost in memory while etcd is slow. */
const PENDING_MAX = 10_000;

export interface KeyedQueueOptions {
  readonly clock: Clock;
  readonly waitingPerKeyMax?: number;
  readonly pendingMax?: number;
}

/** Runs operations on one key one after the other, in the order they came; on different keys at the same time. */
export interface KeyedQueue {
  /**
   * Settles as `task` does, or rejects with DeadlineExceeded after `budgetMs`, counted from now. A task whose turn has
   * not come by then is not run at all; one that is running goes on, and the next waits for its end. Rejects with
   * `resource_exhausted` when too many wait.
   */
  run<T>(key: string, budgetMs: number, task: () => Promise<T>): Promise<T>;
  /** Runs `task` while nothing else runs on any of `keys`. Not counted against the bounds: only the agent calls it. */
  runAll<T>(keys: readonly string[], task: () => Promise<T>): Promise<T>;
  pending(): number;
  /** Resolves once nothing waits or runs. */
  idle(): Promise<void>;
}

interface Line {
  tail: Promise<void>;
  length: number;
}

export function createKeyedQueue(options: KeyedQueueOptions): KeyedQueue {
  const { clock, waitingPerKeyMax = WAITING_PER_KEY_MAX, pendingMax = PENDING_MAX } = options;
  const lines = new Map<string, Line>();
  let pending = 0;

  /** Takes its place in the line at once, so that two calls which want several keys never wait for each other. */
  function lock(key: string): { readonly turn: Promise<void>; readonly release: () => void } {
    const line = lines.get(key) ?? { tail: Promise.resolve(), length: 0 };
    lines.set(key, line);
    const turn = line.tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    line.tail = promise;
    line.length += 1;
    const release = () => {
      line.length -= 1;
      if (line.length === 0) lines.delete(key);
      resolve();
    };
    return { turn, release };
  }

  async function runLocked<T>(key: string, budgetMs: number, task: () => Promise<T>): Promise<T> {
    const deadlineMs = clock.monotonic() + budgetMs;
    const { turn, release } = lock(key);
    pending += 1;
    try {
      await turn;
      if (clock.monotonic() >= deadlineMs) throw new DeadlineExceeded("waiting for its turn", budgetMs);
      return await task();
    } finally {
      pending -= 1;
      release();
    }
  }

  return {
    async run(key, budgetMs, task) {
      if (pending >= pendingMax || (lines.get(key)?.length ?? 0) >= waitingPerKeyMax) {
        throw new FingerpostError("resource_exhausted", "Too many writes are waiting for etcd; try again shortly.", {
          retryAfterSeconds: 1,
        });
      }
      return await within(clock, budgetMs, "the write", runLocked(key, budgetMs, task));
    },

    async runAll(keys, task) {
      const locks = keys.map(lock);
      try {
        await Promise.all(locks.map(({ turn }) => turn));
        return await task();
      } finally {
        for (const { release } of locks) release();
      }
    },

    pending: () => pending,

    async idle() {
      while (lines.size > 0) await Promise.all([...lines.values()].map(({ tail }) => tail));
    },
  };
}
