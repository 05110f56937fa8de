import { sharedMs } from "../../support/monotonic.ts";
import { openRawConnection } from "../../support/raw-connection.ts";
import { serveTask } from "../../support/task-process.ts";

/** Asks for each service at this interval. */
const TICK_MS = 1;

export interface ObserveInput {
  readonly port: number;
  /** The text of a request for each service; an index here is a service's number. */
  readonly requests: readonly string[];
  /** Each service is asked for so often, whatever the answers. */
  readonly everyMs: number;
}

/** A service was seen for the first time with this number of a change in it. */
export interface Sighting {
  readonly service: number;
  readonly change: number;
  readonly seenAtMs: number;
}

export type Observer = {
  readonly observe: (input: ObserveInput) => Promise<void>;
  /** What was seen since the last call. */
  readonly collect: (input: undefined) => Promise<readonly Sighting[]>;
};

const sightings: Sighting[] = [];

/** Looks services up at a steady rate until the process ends, each on a connection of its own. */
async function observe({ port, requests, everyMs }: ObserveInput): Promise<void> {
  const lanes = await Promise.all(
    requests.map(async (request, service) => {
      let change = -1;
      const connection = await openRawConnection({
        port,
        collect: true,
        onAnswer(_connection, status, text) {
          const seenAtMs = sharedMs();
          if (status !== 200) throw new Error(`service ${service} was answered ${status}`);
          const seen = Number(/"change":"(\d+)"/.exec(text)?.[1] ?? -1);
          if (seen <= change) return;
          change = seen;
          sightings.push({ service, change, seenAtMs });
        },
        onFailure(error) {
          throw error;
        },
      });
      // Spread over the interval, so that lookups come evenly.
      return { connection, request, dueAt: performance.now() + (service / requests.length) * everyMs };
    }),
  );
  setInterval(() => {
    const now = performance.now();
    for (const lane of lanes) {
      if (now < lane.dueAt || lane.connection.busy()) continue;
      lane.dueAt = Math.max(lane.dueAt + everyMs, now);
      lane.connection.send(lane.request);
    }
  }, TICK_MS);
}

const observer: Observer = { observe, collect: async () => sightings.splice(0) };
serveTask(observer);
