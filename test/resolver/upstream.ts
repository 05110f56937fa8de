import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@redis/client";

/** How requests are answered: `ok` from Redis, the others as their names say. */
export type Mode =
  | { readonly type: "ok"; readonly delayMs?: number }
  | { readonly type: "hang" }
  | { readonly type: "reset" }
  /** An answer that ends in its middle. */
  | { readonly type: "cut" }
  | { readonly type: "fail"; readonly status: number; readonly body: string };

export interface Upstream {
  readonly url: string;
  readonly token: string;
  /** The commands asked for so far, each as its words. */
  readonly commands: (readonly string[])[];
  /** Hanging requests are cut when the mode changes. */
  mode(mode: Mode): void;
  close(): Promise<void>;
}

/** Upstash's REST protocol, as far as the resolver uses it, in front of a real Redis: counts, and fails on demand. */
export async function startUpstream(redisUrl: string): Promise<Upstream> {
  const client = createClient({ url: redisUrl, disableOfflineQueue: true, socket: { reconnectStrategy: 50 } });
  // Redis is killed under it on purpose, and it connects again by itself.
  client.on("error", () => undefined);
  await client.connect();
  const token = "upstream-token";
  const commands: (readonly string[])[] = [];
  const hanging = new Set<ServerResponse>();
  let mode: Mode = { type: "ok" };

  const server = createServer((request, response) => void serve(request, response));

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const command = JSON.parse(body) as string[];
    commands.push(command);
    if (request.headers.authorization !== `Bearer ${token}`) return send(response, 401, '{"error":"Unauthorized"}');
    if (mode.type === "hang") return void hanging.add(response);
    if (mode.type === "reset") return void request.socket.resetAndDestroy();
    if (mode.type === "cut") return cut(response);
    if (mode.type === "fail") return send(response, mode.status, mode.body);
    const { delayMs } = mode;
    if (delayMs !== undefined) await pause(delayMs);
    try {
      const result = await client.sendCommand([...command]);
      send(response, 200, JSON.stringify({ result }));
    } catch (error) {
      send(response, 503, JSON.stringify({ error: String(error) }));
    }
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the upstream has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    token,
    commands,
    mode(next) {
      mode = next;
      for (const response of hanging) response.socket?.destroy();
      hanging.clear();
    },
    async close() {
      client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "content-type": "application/json" }).end(body);
}

function cut(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
  response.write('{"result":["{', () => response.socket?.destroy());
}
