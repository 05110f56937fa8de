import { isIP } from "node:net";
import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { FingerpostError } from "../kernel/errors.ts";

/** How long a request under way may take to end once the server closes. */
const CLOSE_GRACE_MS = 3000;
const IDLE_SWEEP_MS = 50;
/** Slow or idle peers: what a request's headers, and a whole request, may take to arrive. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface Listener {
  /** Without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Takes no new connection, lets the requests under way end for a while, then cuts what is left. */
  close(): Promise<void>;
}

/** Reads `host:port`, `[v6]:port` or `port`. Throws `invalid_argument`. */
export function parseListenAddress(text: string, hostDefault = "127.0.0.1"): ListenAddress {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new FingerpostError("invalid_argument", `"${text}" is not an address to listen on: write host:port.`);
  }
  return { host: match[1] || match[2] || hostDefault, port };
}

export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  return isIP(host) === 4 ? host.startsWith("127.") : host === "::1";
}

/** Serves `fetch` over HTTP. Rejects with `conflict` when the port is taken. */
export async function listen(
  { host, port }: ListenAddress,
  fetch: (request: Request, env: unknown) => Response | Promise<Response>,
): Promise<Listener> {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
    getRequestListener(fetch, { overrideGlobalObjects: false }),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE"
          ? new FingerpostError("conflict", `Port ${port} on ${host} is taken by another process.`, { cause: error })
          : error,
      );
    });
    server.listen({ host, port }, resolve);
  });
  const address = server.address();
  const portBound = typeof address === "object" && address !== null ? address.port : port;
  const hostInUrl = isIP(host) === 6 ? `[${host}]` : host;
  return { url: `http://${hostInUrl}:${portBound}`, port: portBound, close: () => close(server) };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    // A connection kept alive turns idle only after its last answer, and nothing tells when.
    const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
    server.close(() => {
      clearTimeout(cut);
      clearInterval(sweep);
      resolve();
    });
  });
}
