import type { ServerResponse } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../../kernel/clock.ts";
import { answering, answerOf, cutting, playResolver, refusing, silent } from "../../../client/resolver.ts";
import { instance } from "../../../support/instance.ts";
import { seededRandom } from "../../../support/random.ts";
import { until } from "../../../support/until.ts";
import type { FleetProcess } from "../../fleet/fleet.ts";
import type { HistoryEvent, ReadEvent } from "../../history/event.ts";
import { createAnswers } from "./answers.ts";
import { createClientReader } from "./client.ts";
import { createHttpReader, createPollReader } from "./http.ts";
import type { Reader, ReaderOptions } from "./reader.ts";
import { createStreamReader } from "./stream.ts";

const WEB = answerOf("web", [instance("a", { metadata: { generation: "7" } }), instance("b", { status: "suspect" })], {
  epoch: 3,
  revision: 4,
  etcdRevision: 5,
});
const TOLD = {
  epoch: 3,
  revision: 4,
  etcdRevision: 5,
  instances: { a: { status: "up", generation: 7 }, b: { status: "suspect", generation: -1 } },
};
const HEADERS = { ageMs: 120, stale: false, source: "memory" };

/** A reader of a resolver that is played, until the test ends. */
async function reading(make: (options: ReaderOptions) => Reader) {
  const resolver = await playResolver();
  resolver.play(answering(WEB));
  const reads: ReadEvent[] = [];
  const startedAt = performance.now();
  const recorder = {
    at: () => performance.now() - startedAt,
    record: (event: HistoryEvent) => void (event.type === "read" && reads.push(event)),
    events: [],
    close() {},
  };
  const process = { name: "node", url: resolver.url, life: () => 2 } as FleetProcess;
  const common = { name: "r", resolver: process, token: "t", services: ["web"], recorder, answers: createAnswers() };
  const reader = make({ ...common, clock: systemClock, random: seededRandom(1) });
  const stop = new AbortController();
  const run = reader.run(stop.signal);
  const end = async () => {
    stop.abort();
    await run;
  };
  onTestFinished(async () => {
    await end();
    await resolver.close();
  });
  /** The first read from now on that has this. */
  const next = async (wanted: Partial<ReadEvent>) => {
    const from = reads.length;
    return await until(`a read with ${JSON.stringify(wanted)}`, () =>
      reads.slice(from).find((read) => Object.entries(wanted).every(([name, value]) => read[name as "by"] === value)),
    );
  };
  return { resolver, reads, next, end };
}

test("a lookup tells what was answered, by its body and its headers, and what was not", async () => {
  const { resolver, next } = await reading((options) => createHttpReader({ ...options, everyMs: 5 }));
  const read = await next({ status: 200 });
  expect(read).toMatchObject({ type: "read", reader: "r", by: "http", resolver: "node", life: 2, service: "web" });
  expect(read).toMatchObject({ ...TOLD, ...HEADERS });
  expect(read.to).toBeGreaterThanOrEqual(read.from);
  resolver.play(answering(WEB, { "Fingerpost-Stale": "true", "Fingerpost-Source": "last-known-good" }));
  expect(await next({ stale: true })).toMatchObject({ ...TOLD, source: "last-known-good" });
  resolver.play(refusing(503));
  const refused = await next({ status: 503 });
  expect(refused.error).toContain("Refused with 503");
  expect(refused.instances).toBeUndefined();
  resolver.play(cutting);
  const cut = await next({ error: "ECONNRESET" });
  expect("status" in cut).toBe(false);
});

test("equal answers are one object in the history, and every reader is asked for what it is there for", async () => {
  const { resolver, reads, next } = await reading((options) =>
    createHttpReader({ ...options, everyMs: 5, health: "all" }),
  );
  await next({ status: 200 });
  await next({ status: 200 });
  expect(reads[1]?.instances).toBe(reads[0]?.instances);
  expect(new Set(resolver.seen.map(({ path }) => path))).toEqual(new Set(["/v1/services/web?health=all"]));
  expect(resolver.seen[0]?.headers.authorization).toBe("Bearer t");
});

test("a lookup that is under way when the readers are stopped is waited for, and counts", async () => {
  const { resolver, reads, end } = await reading((options) => createHttpReader({ ...options, everyMs: 5 }));
  const held: ServerResponse[] = [];
  resolver.play((_, response) => void held.push(response));
  await until("it is asked", () => held.length === 1);
  const before = reads.length;
  const ended = end();
  held[0]?.writeHead(404, { "content-type": "application/json" }).end("{}");
  await ended;
  expect(reads.slice(before)).toMatchObject([{ status: 404 }]);
});

test("a long poll asks for what comes after what it has seen, and one that we cut off is no read", async () => {
  const { resolver, reads, next, end } = await reading(createPollReader);
  expect(await next({ by: "poll" })).toMatchObject({ status: 200, ...TOLD, ...HEADERS });
  resolver.play(silent);
  await until("it waits for the next revision", () => resolver.seen.at(-1)?.path.includes("revision=4&wait="));
  const before = reads.length;
  await end();
  expect(reads.length).toBe(before);
});

test("the SDK's own last-known-good is told as the SDK's", async () => {
  const { resolver, next } = await reading((options) => createClientReader({ ...options, everyMs: 20 }));
  expect(await next({ by: "client" })).toMatchObject({ status: 200, ...TOLD, stale: false, source: "memory" });
  resolver.play(cutting);
  expect(await next({ stale: true })).toMatchObject({ by: "client", ...TOLD, source: "last-known-good" });
});

test("each event of a stream is one read, a broken stream is one, and it is taken up where it was", async () => {
  let stream: ServerResponse | undefined;
  const { resolver, reads, next } = await reading((options) => createStreamReader({ ...options, service: "web" }));
  const send = (text: string) => stream?.write(text);
  resolver.play((_, response) => {
    stream = response;
    response.writeHead(200, { "content-type": "text/event-stream" });
    send("retry: 10\n\n");
  });
  await until("it is connected", () => stream);
  send(`id: 4\nevent: service\ndata: ${JSON.stringify(WEB)}\n\n:\n\n`);
  expect(await next({ status: 200 })).toMatchObject({ by: "stream", ...TOLD });
  send('event: status\ndata: {"stale":true,"ageMs":12000}\n\n');
  const status = await next({ stale: true });
  expect(status).toMatchObject({ ageMs: 12_000 });
  expect(status.instances).toBeUndefined();
  stream?.socket?.resetAndDestroy();
  expect(await next({ error: "aborted" })).toMatchObject({ by: "stream" });
  await until("it is back", () => resolver.seen.at(-1)?.headers["last-event-id"] === "4");
  send('event: unknown\ndata: {"status":404}\n\n');
  expect(await next({ status: 404 })).toMatchObject({ by: "stream" });
  expect(reads).toHaveLength(4);
});
