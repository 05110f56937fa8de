import { connect } from "node:net";

/** Of what is kept of an answer. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** Between the pieces of a request that comes slowly. */
const PIECE_PAUSE_MS = 5;

export interface Answer {
  readonly status: number;
  /** By name in lower case; those given twice are joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** Nothing of the body is missing, as far as its framing tells. */
  readonly whole: boolean;
}

export type Outcome =
  /** All answers of the connection, in their order. An event stream counts as answered once its head is there. */
  | { readonly type: "answered"; readonly answers: readonly Answer[]; readonly ms: number }
  /** The connection was ended without a word. */
  | { readonly type: "closed"; readonly ms: number }
  | { readonly type: "hung"; readonly received: string };

/**
 * Sends bytes as they are over a connection of their own, and waits until it is answered or ended. `pieces` are sent one
 * after another; after the last one our side is ended, so that a request that is not whole gets no more.
 */
export function exchange(port: number, pieces: readonly Buffer[], timeoutMs: number): Promise<Outcome> {
  const startedAt = performance.now();
  const isHead = pieces[0]?.subarray(0, 5).toString("latin1") === "HEAD ";
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const timers: NodeJS.Timeout[] = [];
    let bytes = 0;
    const received = () => Buffer.concat(chunks);
    const end = (outcome: Outcome) => {
      for (const timer of timers) clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const finish = () => {
      const answers = parseAnswers(received(), isHead);
      const ms = performance.now() - startedAt;
      end(answers.length > 0 ? { type: "answered", answers, ms } : { type: "closed", ms });
    };
    timers.push(setTimeout(() => end({ type: "hung", received: received().toString("latin1") }), timeoutMs));
    socket.on("connect", () => {
      pieces.forEach((piece, index) => {
        timers.push(setTimeout(() => !socket.destroyed && socket.write(piece), index * PIECE_PAUSE_MS));
      });
      timers.push(setTimeout(() => !socket.destroyed && socket.end(), pieces.length * PIECE_PAUSE_MS));
    });
    socket.on("data", (chunk: Buffer) => {
      if (bytes < ANSWER_BYTES_MAX) chunks.push(chunk);
      bytes += chunk.length;
      if (chunk.includes("text/event-stream") && received().includes("\r\n\r\n")) finish();
    });
    // A reset says the same as an end: it did not want to hear more.
    socket.on("error", finish);
    socket.on("end", finish);
    socket.on("close", finish);
  });
}

/** The final answers in `bytes`; those of 1xx are passed over. */
function parseAnswers(bytes: Buffer, isHead: boolean): readonly Answer[] {
  const answers: Answer[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const headEnd = rest.indexOf("\r\n\r\n");
    if (headEnd === -1) break;
    const [line = "", ...fields] = rest.toString("latin1", 0, headEnd).split("\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1] ?? 0);
    const headers = new Map<string, string>();
    for (const field of fields) {
      const colon = field.indexOf(":");
      const name = field.slice(0, colon).toLowerCase();
      const value = field.slice(colon + 1).trim();
      headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
    }
    rest = rest.subarray(headEnd + 4);
    if (status >= 100 && status < 200) continue;
    const { body, length, whole } = bodyOf(rest, status, headers, isHead && answers.length === 0);
    answers.push({ status, headers, body, whole });
    rest = rest.subarray(length);
  }
  return answers;
}

function bodyOf(rest: Buffer, status: number, headers: ReadonlyMap<string, string>, isHead: boolean) {
  if (isHead || status === 204 || status === 304) return { body: "", length: 0, whole: true };
  if (headers.get("transfer-encoding") === "chunked") return chunked(rest);
  const length = Number(headers.get("content-length") ?? rest.length);
  return { body: rest.toString("utf8", 0, length), length, whole: rest.length >= length };
}

function chunked(bytes: Buffer): { readonly body: string; readonly length: number; readonly whole: boolean } {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    const size = lineEnd === -1 ? 0 : Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const start = lineEnd + 2;
    if (!(size > 0)) {
      const body = Buffer.concat(parts).toString("utf8");
      return { body, length: lineEnd === -1 ? bytes.length : start + 2, whole: lineEnd !== -1 };
    }
    parts.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}
