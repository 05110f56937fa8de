import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { until } from "../../test/support/until.ts";
import { untilDemoAtEdge } from "./at-edge.ts";
import { demoInstances } from "./services.ts";

let server: Server;
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

/** A resolver as far as this is concerned: what it finds, and what it counts. */
async function setup() {
  const found = { ids: demoInstances.map(({ id }) => id) };
  const counts: Record<string, number> = { web: 1, api: 1, batch: 1 };
  const asked = { lists: 0, lookups: 0 };
  server = createServer((request, response) => {
    const service = request.url?.split("/")[3];
    if (service === undefined) asked.lists++;
    else asked.lookups++;
    const answer =
      service === undefined
        ? { services: Object.entries(counts).map(([name, instances]) => ({ name, instances })) }
        : { instances: found.ids.filter((id) => id.startsWith(service)).map((id) => ({ id })) };
    response.end(JSON.stringify(answer));
  }).listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const clock = createManualClock();
  const state = { done: false };
  const waiting = untilDemoAtEdge({
    resolver: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: "a token",
    clock,
    signal: new AbortController().signal,
  }).finally(() => (state.done = true));
  // Its rejection is looked at later.
  waiting.catch(() => undefined);
  const untilDone = () =>
    until("it is done", async () => {
      await clock.advance(1000);
      return state.done;
    });
  return { found, counts, asked, state, clock, waiting, untilDone };
}

describe("the demo at the edge", () => {
  it("is there only once the list of services counts what lookups find", async () => {
    const { found, counts, asked, state, clock, waiting, untilDone } = await setup();
    Object.assign(counts, { web: 3, api: 2 });
    await until("the list was asked for again", async () => {
      await clock.advance(100);
      return asked.lists >= 3;
    });
    expect(state.done).toBe(false);
    // batch-2 has left meanwhile: then one is right.
    found.ids = found.ids.filter((id) => id !== "batch-2");
    await untilDone();
    await waiting;
  });

  it("is there without the counts, which may lag, once the time is up", async () => {
    const { waiting, untilDone } = await setup();
    await untilDone();
    await expect(waiting).resolves.toBeUndefined();
  });

  it("is not there, and said so by name, while a lookup misses an instance", async () => {
    const { found, waiting, untilDone } = await setup();
    found.ids = found.ids.filter((id) => id !== "web-2");
    await untilDone();
    await expect(waiting).rejects.toThrow("The resolver does not know web-2 after 15000 ms.");
  });
});
