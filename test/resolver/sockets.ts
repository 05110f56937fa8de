import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

/** A GET on a TCP connection of its own, sent at once; the connection stays in the caller's hands. */
export function rawGet(
  port: number,
  path: string,
  authorization?: string,
): { readonly socket: Socket; readonly answer: Promise<RawAnswer> } {
  const socket = connect({ host: "127.0.0.1", port });
  const credential = authorization === undefined ? "" : `Authorization: ${authorization}\r\n`;
  socket.write(`GET ${path} HTTP/1.1\r\nHost: resolver\r\nConnection: close\r\n${credential}\r\n`);
  const answer = new Promise<RawAnswer>((resolve, reject) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => (text += String(chunk)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed before the answer was whole")));
    socket.on("end", () => {
      const [headers = "", body = ""] = text.split("\r\n\r\n", 2);
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(headers)?.[1]), headers, body });
      socket.destroy();
    });
  });
  return { socket, answer };
}
