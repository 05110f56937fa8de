import * as fc from "fast-check";
import { createServer, type Server } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { runGateway } from "../../gateway/run.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { systemClock } from "../../kernel/clock.ts";
import { createLog } from "../../node/log.ts";
import { createUpstashStore } from "../../src/store/upstash.ts";
import { aHostileText, anOddJsonText } from "../support/arbitraries.ts";
import { mutatedText } from "../support/mutations.ts";

const SEED = 7;
const TOKEN = "gateway-token-of-the-wire-test";

/** Answers whatever is sent to it with the bytes that `answer` gives, and hangs up where they say nothing. */
async function startServer(answer: () => Buffer): Promise<{ readonly port: number }> {
  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", () => {
      const bytes = answer();
      if (bytes.length === 0) socket.destroy();
      else socket.end(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return { port: address.port };
}

const answers = fc.constantFrom('{"result":["a",null]}', '{"result":"a"}', '{"result":null}', '{"error":"ERR x"}');
const json = fc.oneof({ weight: 5, arbitrary: mutatedText(answers) }, { weight: 1, arbitrary: anOddJsonText });
const http = fc
  .record({
    status: fc.constantFrom(
      "200 OK",
      "200 OK",
      "200 OK",
      "200",
      "204 No Content",
      "301 Moved\r\nLocation: http://127.0.0.1:1/",
      "429 Wait",
      "500 x",
      "9 x",
    ),
    length: fc.constantFrom("exact", "exact", "exact", "short", "long", "none", "-1"),
    body: json,
    bytes: fc.uint8Array({ maxLength: 20 }),
    isHttp: fc.constantFrom(true, true, true, false),
  })
  .map(({ status, length, body, bytes, isHttp }) => {
    const count = Buffer.byteLength(body) + { exact: 0, short: -1, long: 5, none: 0, "-1": 0 }[length];
    const header = length === "none" ? "" : `Content-Length: ${length === "-1" ? -1 : count}\r\n`;
    const whole = Buffer.from(`HTTP/1.1 ${status}\r\n${header}Connection: close\r\n\r\n${body}`);
    return isHttp ? whole : Buffer.from(bytes);
  });

it("whatever answers in Upstash's place, the resolver's store gives values of the right form, or is unavailable", async () => {
  let bytes = Buffer.alloc(0);
  const { port } = await startServer(() => bytes);
  const store = createUpstashStore({ url: `http://127.0.0.1:${port}`, token: "store-token", timeoutMs: 1000 });
  const property = fc.asyncProperty(http, async (answer) => {
    bytes = Buffer.from(answer);
    const outcome = await Promise.all([
      store.get("a").then((value) => value === undefined || typeof value === "string", told),
      store.mget(["a", "b"]).then((values) => values.length === 2, told),
    ]);
    expect(outcome).toEqual([true, true]);
  });
  await fc.assert(property, { seed: SEED, numRuns: 60 });
});

/** Nothing but `unavailable` without what was sent or answered is a way to fail. */
function told(error: unknown): boolean {
  return error instanceof FingerpostError && error.code === "unavailable" && !error.message.includes("store-token");
}

const resp = fc.oneof(
  fc.constantFrom(
    "+OK\r\n",
    "-ERR x\r\n",
    "-",
    ":9223372036854775808\r\n",
    ":x\r\n",
    "$-2\r\n",
    "$99999999999\r\nx",
    "*-5\r\n",
    "*99999999\r\n",
    `${"*1\r\n".repeat(20_000)}:1\r\n`,
    "$3\r\nabcdef\r\n",
    "%1\r\n+a\r\n+b\r\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
  ),
  aHostileText,
  fc.uint8Array({ maxLength: 30 }).map((some) => Buffer.from(some).toString("latin1")),
);

it("whatever answers in Redis' place, the gateway lives, and answers in its own protocol", async () => {
  let bytes = Buffer.alloc(0);
  const { port } = await startServer(() => bytes);
  const closing = new AbortController();
  const gateway = await runGateway(
    {
      listen: { host: "127.0.0.1", port: 0 },
      token: TOKEN,
      redisUrl: `redis://127.0.0.1:${port}`,
      requestTimeoutMs: 500,
    },
    { log: createLog("gateway", "silent"), clock: systemClock, random: () => 0, signal: closing.signal },
  );
  onTestFinished(() => gateway.close());
  const property = fc.asyncProperty(resp, async (answer) => {
    bytes = Buffer.from(answer, "latin1");
    const response = await fetch(gateway.url, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
      body: '["GET","a"]',
    });
    const body = (await response.json()) as { readonly error?: unknown; readonly result?: unknown };
    expect([200, 400, 503]).toContain(response.status);
    expect("result" in body || typeof body.error === "string").toBe(true);
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
  });
  await fc.assert(property, { seed: SEED, numRuns: 60 });
});
