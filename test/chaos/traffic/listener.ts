import { createServer, type Server, type Socket } from "node:net";

/** What an instance is to those who connect to it: taken, and answered nothing. */
export interface Listener {
  readonly address: string;
  /** The same for all of its life, once it has listened. */
  port(): number;
  open(): Promise<void>;
  close(): Promise<void>;
}

/**
 * An address of its own in 127.0.0.0/8 for each instance, as each pod has one: what is closed here is taken by nobody
 * else on the machine meanwhile, and so nobody answers a probe for it.
 */
export function createListener(processId: number, index: number): Listener {
  const address = `127.${64 + ((processId >> 8) & 127)}.${processId & 255}.${1 + index}`;
  const sockets = new Set<Socket>();
  let port = 0;
  let server: Server | undefined;
  return {
    address,
    port: () => port,
    async open() {
      const opened = createServer((socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        // Whoever checks resets the connection at times: "close" follows, and that is all there is to do.
        socket.on("error", () => socket.destroy());
        socket.resume();
      });
      await new Promise<void>((resolve, reject) => {
        opened.once("error", reject);
        opened.listen({ host: address, port }, resolve);
      });
      const bound = opened.address();
      if (typeof bound !== "object" || bound === null) throw new Error("the listener has no port");
      port = bound.port;
      server = opened;
    },
    async close() {
      const closing = server;
      server = undefined;
      if (!closing) return;
      const closed = new Promise((resolve) => closing.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
