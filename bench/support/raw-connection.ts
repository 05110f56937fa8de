import { connect } from "node:net";

const BUFFER_BYTES = 256 * 1024;
const HEAD_END = "\r\n\r\n";
/** With one request under way nothing follows it, and no JSON has it within. */
const CHUNKS_END = "\r\n0\r\n\r\n";

export interface RawConnection {
  /** Whether a request is under way: only one may be. */
  busy(): boolean;
  /** Sends the whole text of a request. */
  send(request: string): void;
  close(): void;
}

export interface RawConnectionOptions {
  readonly port: number;
  /** Called once an answer is there as a whole; `text` is its body, and empty unless `collect` is true. */
  readonly onAnswer: (connection: RawConnection, status: number, text: string) => void;
  /** Called when the connection ends without having been closed here. */
  readonly onFailure: (error: Error) => void;
  readonly collect?: boolean;
}

/** What all connections read into: a chunk is dealt with before the next one is read. */
const buffer = Buffer.alloc(BUFFER_BYTES);

/**
 * One kept-alive HTTP/1.1 connection to a port of 127.0.0.1 that costs as little CPU as Node can do it with: on few
 * cores, what a load generator uses is missing to what is measured.
 */
export async function openRawConnection(options: RawConnectionOptions): Promise<RawConnection> {
  const { port, onAnswer, onFailure, collect = false } = options;
  let busy = false;
  let closed = false;
  /** Of an answer's head that has come in parts. */
  let head = "";
  let status = 0;
  let text = "";
  /** Of the body that is being received; -1: the head is not whole yet. */
  let missing = -1;
  let chunked = false;
  /** The last characters of a chunked body so far. */
  let tail = "";

  function receive(size: number): boolean {
    let at = 0;
    if (missing < 0) {
      const end = head === "" ? buffer.subarray(0, size).indexOf(HEAD_END) : -1;
      if (end >= 0) {
        at = end + HEAD_END.length;
        readHead(buffer.toString("latin1", 0, end));
      } else {
        head += buffer.toString("latin1", 0, size);
        const endOfAll = head.indexOf(HEAD_END);
        if (endOfAll < 0) return true;
        at = size - (head.length - endOfAll - HEAD_END.length);
        readHead(head.slice(0, endOfAll));
        head = "";
      }
    }
    if (collect) text += buffer.toString("utf8", at, size);
    if (chunked) {
      tail = (tail + buffer.toString("latin1", Math.max(at, size - CHUNKS_END.length), size)).slice(-CHUNKS_END.length);
      if (tail !== CHUNKS_END) return true;
      tail = "";
    } else {
      missing -= size - at;
      if (missing > 0) return true;
      if (missing < 0) throw new Error(`${-missing} bytes more than the answer has`);
    }
    missing = -1;
    busy = false;
    const body = text;
    text = "";
    onAnswer(connection, status, body);
    return true;
  }

  function readHead(lines: string): void {
    status = Number(lines.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(lines)?.[1];
    chunked = length === undefined && /\r\ntransfer-encoding: *chunked/i.test(lines);
    if (length === undefined && !chunked && status !== 204 && status !== 304) {
      throw new Error(`an answer without a length: ${lines}`);
    }
    missing = Number(length ?? 0);
  }

  const socket = connect({
    host: "127.0.0.1",
    port,
    noDelay: true,
    onread: { buffer, callback: (size) => receive(size) },
  });
  const connection: RawConnection = {
    busy: () => busy,
    send(request) {
      busy = true;
      socket.write(request, "latin1");
    },
    close() {
      closed = true;
      socket.destroy();
    },
  };
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  let failure = new Error(`the connection to port ${port} ended`);
  socket.on("error", (error) => (failure = error));
  socket.on("close", () => {
    if (!closed) onFailure(failure);
  });
  return connection;
}

/** The text of a GET, as `send` takes it. */
export function getRequest(path: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\nhost: resolver\r\n${lines.join("")}\r\n`;
}

/** The same of a POST of JSON. */
export function postRequest(path: string, headers: Readonly<Record<string, string>>, body: string): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = Buffer.byteLength(body);
  return `POST ${path} HTTP/1.1\r\nhost: server\r\n${lines.join("")}content-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`;
}
