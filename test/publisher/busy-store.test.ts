import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { boundStore, WAIT_ASKED_MS_MAX } from "../../registrar/publisher/bounded-store.ts";
import { createUpstashStore } from "../../registrar/publisher/redis-upstash.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Answers of a service before Redis that Redis and our gateway never give, or not on demand. */
let server: Server;
let answer: Answer;
let requests: number;
let clock: ManualClock;
let store: SnapshotStore;

beforeEach(async () => {
  requests = 0;
  server = createServer((request, response) => {
    requests++;
    request.resume();
    request.on("end", () => {
      response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
      response.end(answer.body ?? '{"result":["100","0"]}');
    });
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = server.address() as AddressInfo;
  clock = createManualClock();
  store = boundStore(createUpstashStore({ url: `http://127.0.0.1:${port}`, token: "t" }), 2, clock);
});

afterEach(async () => {
  await store.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe("a store whose service asks to wait", () => {
  it.each<[string, Answer, number]>([
    ["by seconds", { status: 429, headers: { "retry-after": "7" } }, 7000],
    ["by a date", { status: 503, headers: { date: httpDate(0), "retry-after": httpDate(9) } }, 9000],
    ["without saying how long", { status: 429 }, 1000],
    ["for longer than we stay away", { status: 429, headers: { "retry-after": "86400" } }, WAIT_ASKED_MS_MAX],
  ])("%s is not asked before that, by anybody", async (_how, busy, waitMs) => {
    answer = busy;
    await expect(store.timeMs()).rejects.toMatchObject({ code: "unavailable", retryAfterSeconds: expect.any(Number) });
    answer = { status: 200 };
    await clock.advance(waitMs - 1);
    const early = await Promise.allSettled([store.timeMs(), store.evaluate("return 1", [], []), store.timeMs()]);
    expect(early.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(requests).toBe(1);
    // Whoever comes a moment too early, as timers do, waits for the rest, and not for all of it again.
    await expect(store.timeMs()).rejects.toMatchObject({ retryAfterSeconds: 1 });
    await clock.advance(1);
    expect(await store.timeMs()).toBe(100_000);
    expect(requests).toBe(2);
  });
});

describe("a store", () => {
  it.each<[Answer, string, string]>([
    [{ status: 413, body: "<html>too large</html>" }, "invalid_argument", "for its size"],
    [{ status: 400, body: '{"error":"ERR max request size exceeded. Limit: 1"}' }, "invalid_argument", "for its size"],
    [{ status: 400, body: '{"error":"ERR max single record size exceeded"}' }, "invalid_argument", "for its size"],
    [{ status: 502, body: "<html>a-secret</html>" }, "unavailable", "HTTP 502"],
    [{ status: 200, body: '"a-secret"' }, "unavailable", "HTTP 200"],
    [{ status: 503, body: '{"error":"LOADING a-secret"}' }, "unavailable", "(LOADING)"],
    [{ status: 302, headers: { location: "http://127.0.0.1:1/a-secret" } }, "unavailable", "HTTP 302"],
  ])("says what an answer %j is, without quoting it", async (given, code, text) => {
    answer = given;
    const error = (await store.evaluate("return 1", ["k"], ["v"]).catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(text);
    expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain("a-secret");
  });
});

function httpDate(seconds: number): string {
  return new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toUTCString();
}
