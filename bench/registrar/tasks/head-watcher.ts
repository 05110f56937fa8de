import { createClient } from "@redis/client";
import { decodeHead } from "../../../contract/head.ts";
import { headKey } from "../../../contract/redis-keys.ts";
import { sharedMs } from "../../support/monotonic.ts";
import { serveTask } from "../../support/task-process.ts";

/** From this moment on everything up to `revision` is known to be in Redis. */
export interface Sighting {
  readonly revision: number;
  readonly seenAtMs: number;
}

export interface WatchInput {
  /** Of a user who may read and subscribe. */
  readonly url: string;
  /** Our heads, or the keys of the bare publisher, whose names end with the revision. */
  readonly of: "heads" | "keys";
  readonly keyPrefix: string;
}

const sightings: Sighting[] = [];

/**
 * Follows what is committed to Redis by Redis' own notifications. A head is read after its notification and counts
 * from the answer on, so that what is measured is never less than the truth.
 */
async function watch({ url, of, keyPrefix }: WatchInput): Promise<void> {
  const reader = await createClient({ url, RESP: 2 }).on("error", fail).connect();
  const subscriber = await createClient({ url, RESP: 2 }).on("error", fail).connect();
  await subscriber.subscribe("__keyevent@0__:set", (key) => {
    if (of === "keys") {
      if (key.startsWith(keyPrefix)) {
        sightings.push({ revision: Number(key.slice(keyPrefix.length)), seenAtMs: sharedMs() });
      }
    } else if (key === headKey("default")) {
      readHead().catch(fail);
    }
  });

  async function readHead(): Promise<void> {
    const text = await reader.get(headKey("default"));
    const seenAtMs = sharedMs();
    if (text !== null) sightings.push({ revision: decodeHead(text, "default").etcdRevision, seenAtMs });
  }
}

async function collect(): Promise<readonly Sighting[]> {
  return sightings.splice(0);
}

function fail(error: unknown): never {
  throw error;
}

serveTask({ watch, collect });
