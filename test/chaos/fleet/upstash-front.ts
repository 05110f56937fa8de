import { createServer, request, Agent, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../../kernel/random.ts";

/** How a service of Redis over HTTP answers, whatever the Redis behind it does. */
export type FrontMode =
  | { readonly type: "pass" }
  /** Asks nothing behind it, and answers this. */
  | { readonly type: "status"; readonly status: number; readonly retryAfterSeconds?: number }
  /** The answer comes this much later. */
  | { readonly type: "slow"; readonly delayMs: number }
  /** 200 and a body that is no answer: a page of a proxy, another form of JSON, half of it, nothing. */
  | { readonly type: "garbage" }
  /** The headers promise the whole body; the connection is reset in the middle of it. */
  | { readonly type: "cut" };

export interface UpstashFront {
  readonly port: number;
  /** From the next request on. Of them this share, from 0 to 1, goes wrong; the others pass. */
  mode(mode: FrontMode, share: number, random: Random): void;
  /** Requests that went wrong since it was started. */
  spoilt(): number;
  close(): Promise<void>;
}

const GARBAGE: readonly string[] = [
  "",
  "<html><body><h1>502 Bad Gateway</h1></body></html>",
  "null",
  "{}",
  "[]",
  '{"result":',
  '{"result":{"unexpected":true}}',
  '[{"result":"b"},{"result":17},{"error":5}]',
  '{"error":"ERR"}',
];

/** An HTTP server in front of the gateway at `url`, which fails as what is behind such an address does. */
export async function startUpstashFront(url: string): Promise<UpstashFront> {
  const behind = new URL(url);
  // One that is kept may be closed by the gateway just then, which whoever asks would take for a fault of the schedule.
  const agent = new Agent({ keepAlive: false });
  let mode: FrontMode = { type: "pass" };
  let share = 0;
  let random: Random = () => 0;
  let spoilt = 0;

  const server = createServer((asked, answer) => {
    const now: FrontMode = mode.type !== "pass" && random() < share ? mode : { type: "pass" };
    if (now.type !== "pass") spoilt++;
    if (now.type === "status") {
      asked.resume();
      const retry = now.retryAfterSeconds === undefined ? {} : { "retry-after": String(now.retryAfterSeconds) };
      answer.writeHead(now.status, { "content-type": "application/json", ...retry });
      answer.end(JSON.stringify({ error: `ERR answered with ${now.status}` }));
      return;
    }
    if (now.type === "garbage") {
      asked.resume();
      answer.writeHead(200, { "content-type": "application/json" });
      answer.end(GARBAGE[Math.floor(random() * GARBAGE.length)]);
      return;
    }
    forward(asked, answer, now);
  });

  const forward = (asked: IncomingMessage, answer: ServerResponse, now: FrontMode) => {
    const { method, url: path } = asked;
    const { connection: _own, ...headers } = asked.headers;
    const upstream = request({ agent, host: behind.hostname, port: behind.port, method, path, headers });
    // What is behind is gone, or hung up: whoever asks sees a connection that ends, as without anything between.
    upstream.on("error", () => asked.socket.resetAndDestroy());
    asked.on("error", () => upstream.destroy());
    answer.on("close", () => {
      if (!answer.writableFinished) upstream.destroy();
    });
    upstream.on("response", (response) => {
      void passOn(response, answer, now).catch(() => asked.socket.resetAndDestroy());
    });
    asked.pipe(upstream);
  };

  const passOn = async (response: IncomingMessage, answer: ServerResponse, now: FrontMode) => {
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (now.type === "slow") await pause(now.delayMs);
    if (answer.destroyed) return;
    const { "transfer-encoding": _chunked, connection: _own, ...headers } = response.headers;
    answer.writeHead(response.statusCode ?? 502, { ...headers, "content-length": body.byteLength });
    if (now.type === "cut") {
      answer.write(body.subarray(0, Math.floor(body.byteLength / 2)), () => answer.socket?.resetAndDestroy());
    } else {
      answer.end(body);
    }
  };

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the front has no port");
  return {
    port: address.port,
    mode(next, ofThem, by) {
      mode = next;
      share = ofThem;
      random = by;
    },
    spoilt: () => spoilt,
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
