import { Agent, request as httpRequest, type IncomingMessage } from "node:http";

/** Connections that stay open between requests, of all who share them. */
const FREE_SOCKETS_MAX = 8;

export interface Call {
  readonly method: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** For the whole answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

export interface Requests {
  /**
   * Rejects where no whole answer came, with a message of a few words. A connection that the server had just closed as
   * idle is no failure of a request: that one is sent again where `repeat` says that it may be.
   */
  send(call: Call, options?: { readonly repeat?: boolean }): Promise<Reply>;
  close(): void;
}

/** HTTP over connections that are kept, as callers do who ask often: a new one for each would cost both sides more. */
export function createRequests(): Requests {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: FREE_SOCKETS_MAX });
  return {
    async send(call, { repeat = false } = {}) {
      try {
        return await sendOnce(agent, call);
      } catch (error) {
        if (!repeat || !(error instanceof ClosedBefore) || call.signal.aborted) throw error;
        return await sendOnce(agent, call);
      }
    },
    close: () => agent.destroy(),
  };
}

/** A kept connection ended without a byte of an answer. */
class ClosedBefore extends Error {}

/** The answer as soon as its headers are there. The caller reads it; `signal` ends it. */
export function open(agent: Agent, { method, url, headers = {}, body, signal }: Call): Promise<IncomingMessage> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const typed = text === undefined ? {} : { "content-type": "application/json" };
    const sent = httpRequest(url, { agent, method, signal, headers: { ...headers, ...typed } }, resolve);
    sent.on("error", (error) => {
      const { code = error.message } = error as NodeJS.ErrnoException;
      const wasClosed = sent.reusedSocket && (code === "ECONNRESET" || code === "EPIPE");
      reject(wasClosed ? new ClosedBefore(code) : new Error(code));
    });
    sent.end(text);
  });
}

async function sendOnce(agent: Agent, call: Call): Promise<Reply> {
  const timeout = AbortSignal.timeout(call.timeoutMs);
  const signal = AbortSignal.any([timeout, call.signal]);
  try {
    const answer = await open(agent, { ...call, signal });
    const { statusCode: status = 0, headers } = answer;
    return { status, headers, text: await textOf(answer) };
  } catch (error) {
    if (timeout.aborted) throw new Error(`no answer in ${call.timeoutMs} ms`, { cause: error });
    throw error;
  }
}

function textOf(answer: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    answer.setEncoding("utf8");
    answer.on("data", (part: string) => (text += part));
    answer.on("end", () => resolve(text));
    answer.on("error", (error) => reject(new Error("the answer was cut off", { cause: error })));
  });
}
