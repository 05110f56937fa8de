import { AUDIT_SCRIPT } from "../../registrar/publisher/audit-script.ts";
import { COMMIT_SCRIPT } from "../../registrar/publisher/commit-script.ts";
import { READ_MANY_SCRIPT, READ_SCRIPT } from "../../registrar/publisher/read-script.ts";
import { scriptHash } from "../../registrar/publisher/redis-errors.ts";
import type { Timeline } from "./timeline.ts";

interface Stored {
  readonly text: string;
  /** Infinity: never. */
  readonly expiresAtMs: number;
}

/** What one script has written, at once. */
export interface Written {
  /** Which process asked for it. */
  readonly by: string;
  readonly headKey: string;
  /** What was stored before. */
  readonly headBefore: string | undefined;
  readonly texts: ReadonlyMap<string, string>;
}

/** Why Redis does not take a write. */
export type Refusal = "READONLY" | "OOM";

/**
 * Redis as far as the publisher and the resolver use it, without network: texts that expire, the publisher's scripts by
 * what they mean, and a replica that applies whole scripts in their order, some time later.
 * test/simulation/redis-model.test.ts runs against this and against the real one.
 */
export interface RedisModel {
  up: boolean;
  refuses: Refusal | undefined;
  /** What the replica applies is so old. */
  replicaLagMs: number;
  timeMs(): number;
  evaluate(by: string, script: string, keys: readonly string[], args: readonly string[]): unknown;
  get(key: string, from?: "master" | "replica"): string | undefined;
  keys(from?: "master" | "replica"): readonly string[];
  /** Somebody else writes, deletes, or empties it. */
  set(key: string, text: string): void;
  delete(key: string): void;
  flush(): void;
  /** The replica is the master now: what it has not applied is lost. */
  promote(): void;
}

export interface RedisModelOptions {
  readonly timeline: Timeline;
  /** Its clock, milliseconds since the epoch. */
  readonly now: () => number;
  readonly onWritten: (written: Written) => void;
}

type Change = (values: Map<string, Stored>) => void;

export function createRedisModel({ timeline, now, onWritten }: RedisModelOptions): RedisModel {
  let master = new Map<string, Stored>();
  let replica = new Map<string, Stored>();
  /** What the replica has yet to apply. */
  let behind: { readonly atMs: number; readonly change: Change }[] = [];

  function textIn(values: ReadonlyMap<string, Stored>, key: string): string | undefined {
    const stored = values.get(key);
    return stored && stored.expiresAtMs > timeline.nowMs() ? stored.text : undefined;
  }

  function change(what: Change): void {
    what(master);
    behind.push({ atMs: timeline.nowMs(), change: what });
    catchUp();
  }

  function catchUp(): void {
    const dueMs = timeline.nowMs() - model.replicaLagMs;
    while (behind[0] !== undefined && behind[0].atMs <= dueMs) behind.shift()?.change(replica);
  }

  function commit(by: string, keys: readonly string[], args: readonly string[]): string {
    const [headKey = "", ...others] = keys;
    const [guard = "", nextHash = "", head = ""] = args;
    const text = textIn(master, headKey);
    const hash = text === undefined ? "" : scriptHash(text);
    if (hash !== guard) return hash !== "" && hash === nextHash ? "repeated" : "refused";
    if (model.refuses) throw new Error(`${model.refuses} a write is refused`);
    const texts = new Map(others.map((key, index) => [key, args[3 + 2 * index] ?? ""]));
    if (nextHash !== "") texts.set(headKey, head);
    const writtenAtMs = timeline.nowMs();
    change((values) => {
      for (const [index, key] of others.entries()) {
        const expiry = args[4 + 2 * index] ?? "";
        const expiresAtMs = expiry === "" ? Infinity : writtenAtMs + Number(expiry);
        values.set(key, { text: args[3 + 2 * index] ?? "", expiresAtMs });
      }
      if (nextHash !== "") values.set(headKey, { text: head, expiresAtMs: Infinity });
    });
    onWritten({ by, headKey, headBefore: text, texts });
    return "committed";
  }

  function audit([headKey = "", ...others]: readonly string[], [guard]: readonly string[]): readonly string[] {
    const head = textIn(master, headKey);
    if ((head === undefined ? "" : scriptHash(head)) !== guard) return ["moved"];
    return others.map((key) => {
      const text = textIn(master, key);
      if (text === undefined) return "";
      return scriptHash(text) + (master.get(key)?.expiresAtMs === Infinity ? "" : "~");
    });
  }

  function readMany(keys: readonly string[], bytesMax: number): readonly string[] {
    const texts: string[] = [];
    let bytes = 0;
    for (const key of keys) {
      const text = textIn(master, key) ?? "";
      bytes += Buffer.byteLength(text);
      if (texts.length > 0 && bytes > bytesMax) break;
      texts.push(text);
    }
    return texts;
  }

  const model: RedisModel = {
    up: true,
    refuses: undefined,
    replicaLagMs: 0,
    timeMs: now,
    evaluate(by, script, keys, args) {
      switch (script) {
        case COMMIT_SCRIPT:
          return commit(by, keys, args);
        case AUDIT_SCRIPT:
          return audit(keys, args);
        case READ_MANY_SCRIPT:
          return readMany(keys, Number(args[0]));
        case READ_SCRIPT: {
          const text = textIn(master, keys[0] ?? "");
          return text === undefined ? ["none"] : ["text", text];
        }
        default:
          throw new Error("the model does not know this script");
      }
    },
    get(key, from = "master") {
      catchUp();
      return textIn(from === "master" ? master : replica, key);
    },
    keys(from = "master") {
      catchUp();
      const values = from === "master" ? master : replica;
      return [...values.keys()].filter((key) => textIn(values, key) !== undefined).toSorted();
    },
    set: (key, text) => change((values) => void values.set(key, { text, expiresAtMs: Infinity })),
    delete: (key) => change((values) => void values.delete(key)),
    flush: () => change((values) => values.clear()),
    promote() {
      catchUp();
      behind = [];
      master = new Map(replica);
      replica = new Map(replica);
    },
  };
  return model;
}
