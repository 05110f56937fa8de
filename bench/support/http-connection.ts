import { connect } from "node:net";

/** One kept-alive HTTP/1.1 connection with one request under way: what a load generator may cost, and no more. */
export interface HttpConnection {
  /** The status of the answer, whose body is read and dropped. Rejects when the connection ends. */
  request(method: string, path: string, body: string): Promise<number>;
  close(): void;
}

export async function openHttpConnection(url: string): Promise<HttpConnection> {
  const { hostname, port, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let received = "";
  let waiting: PromiseWithResolvers<number> | undefined;
  let failure = new Error(`the connection to ${host} ended`);

  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.setEncoding("latin1");
  socket.on("data", (chunk) => {
    received += String(chunk);
    const status = completeAnswer(received);
    if (status === undefined) return;
    received = "";
    const caller = waiting;
    waiting = undefined;
    caller?.resolve(status);
  });
  socket.on("error", (error) => (failure = error));
  socket.on("close", () => waiting?.reject(failure));
  return {
    request(method, path, body) {
      if (socket.destroyed) return Promise.reject(failure);
      waiting = Promise.withResolvers<number>();
      const length = Buffer.byteLength(body);
      const type = length === 0 ? "" : "content-type: application/json\r\n";
      socket.write(`${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${type}content-length: ${length}\r\n\r\n${body}`);
      return waiting.promise;
    },
    close: () => socket.destroy(),
  };
}

/** The status once the whole of the answer is there. */
function completeAnswer(text: string): number | undefined {
  const headerEnd = text.indexOf("\r\n\r\n");
  if (headerEnd < 0) return undefined;
  const header = text.slice(0, headerEnd);
  const length = /\r\ncontent-length: (\d+)/i.exec(header)?.[1];
  const bodyLength = text.length - headerEnd - 4;
  const chunked = length === undefined && /\r\ntransfer-encoding: chunked/i.test(header);
  const complete = chunked ? text.endsWith("0\r\n\r\n") : bodyLength >= Number(length ?? 0);
  return complete ? Number(header.slice(9, 12)) : undefined;
}
