import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { ServiceAnswer } from "../../contract/http.ts";
import type { Instance } from "../../contract/snapshot.ts";

interface Seen {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

type Reply = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** A server over real sockets that plays the resolver's contract as each test tells it to. */
export interface PlayedResolver {
  readonly url: string;
  /** Every request, in order. */
  readonly seen: readonly Seen[];
  /** How requests are answered from now on. */
  play(reply: Reply): void;
  close(): Promise<void>;
}

export async function playResolver(): Promise<PlayedResolver> {
  const seen: Seen[] = [];
  let reply: Reply = answering(answerOf("web", []));
  const server = createServer((request, response) => {
    seen.push({ path: request.url ?? "", headers: request.headers });
    void reply(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    play(next) {
      reply = next;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

export function answerOf(
  service: string,
  instances: readonly Instance[],
  fields: Partial<ServiceAnswer> = {},
): ServiceAnswer {
  return {
    namespace: "default",
    service,
    epoch: 1,
    revision: 1,
    etcdRevision: 1,
    publishedAt: "2026-01-01T00:00:00.000Z",
    instances,
    ...fields,
  };
}

/** Answers as the resolver does: 200, or 304 to the answer's own ETag, with what is told beside it. */
export function answering(answer: ServiceAnswer, told: Record<string, string> = {}): Reply {
  const etag = `"${answer.epoch}-${answer.revision}"`;
  return (request, response) => {
    const headers = {
      "Content-Type": "application/json",
      ETag: etag,
      "Fingerpost-Source": "memory",
      "Fingerpost-Revision": String(answer.revision),
      "Fingerpost-Age-Ms": "120",
      "Fingerpost-Stale": "false",
      ...told,
    };
    if (request.headers["if-none-match"] === etag) response.writeHead(304, headers).end();
    else response.writeHead(200, headers).end(JSON.stringify(answer));
  };
}

/** A problem document with this status. */
export function refusing(status: number, headers: Record<string, string> = {}): Reply {
  return (_request, response) => {
    response
      .writeHead(status, { "Content-Type": "application/problem+json", ...headers })
      .end(JSON.stringify({ status, detail: `Refused with ${status}.` }));
  };
}

/** Takes the request and says nothing. */
export const silent: Reply = () => {};

/** Cuts the connection. */
export const cutting: Reply = (request) => {
  request.socket.resetAndDestroy();
};
