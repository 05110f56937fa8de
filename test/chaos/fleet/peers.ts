import { connect, createServer, type Server, type Socket } from "node:net";
import { makeLine, type Context } from "./context.ts";

/** Of a request between members; they are far shorter. */
const HEAD_BYTES_MAX = 16 * 1024;
/** `GET http://0.0.0.0:20001/raft/probing HTTP/1.1` */
const TO_PROXY = /^(\S+) http:\/\/0\.0\.0\.0:(\d+)(\/\S*) (.*)$/s;

export interface PeerAddress {
  readonly name: string;
  /** Where it listens for the others. */
  readonly peerPort: number;
}

export interface PeerLines {
  /** What a member is to tell the others of where it is. Nobody listens there. */
  urlOf(name: string): string;
  /** What a member is to be started with, so that all it sends to the others goes over its own lines. */
  environmentOf(name: string): Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * A line for each ordered pair of members. etcd lets a member have one address for all of its peers, but takes an HTTP
 * proxy from its environment: each member has its own, which knows by that who asks, and by the address who is asked.
 * Go asks no proxy for a loopback address; 0.0.0.0 is none to it, and leads nowhere else.
 */
export async function startPeerLines(context: Context, members: readonly PeerAddress[]): Promise<PeerLines> {
  const addresses = new Map<string, number>();
  for (const { name } of members) addresses.set(name, await context.ports.claimAny());
  const servers: Server[] = [];
  const environments = new Map<string, Readonly<Record<string, string>>>();
  const open = new Set<Socket>();
  for (const from of members) {
    const lines = new Map<number, number>();
    for (const to of members) {
      if (from === to) continue;
      const { proxy } = await makeLine(context, `${from.name}>${to.name}`, to.peerPort);
      lines.set(addresses.get(to.name) ?? 0, proxy.port);
    }
    const { server, port } = await listen((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      // "close" follows an error.
      socket.on("error", () => undefined);
      readHead(socket, (head, rest) => {
        const [, method = "", address, path = "", others = ""] = TO_PROXY.exec(head) ?? [];
        const line = lines.get(Number(address));
        if (line === undefined) socket.resetAndDestroy();
        else passOn(socket, line, Buffer.concat([Buffer.from(onlyOne(`${method} ${path} ${others}`)), rest]), open);
      });
    });
    servers.push(server);
    environments.set(from.name, { HTTP_PROXY: `http://127.0.0.1:${port}` });
  }
  return {
    urlOf: (name) => `http://0.0.0.0:${addresses.get(name)}`,
    environmentOf: (name) => environments.get(name) ?? {},
    async close() {
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
      for (const socket of open) socket.destroy();
      await Promise.all(closed);
    },
  };
}

/** A client would use the connection to its proxy for the next request, whoever that is to: this one is its last. */
function onlyOne(head: string): string {
  return head.replace("\r\n", "\r\nConnection: close\r\n");
}

/** Calls back with the head of the first request of a connection, and what came with it. */
function readHead(socket: Socket, onHead: (head: string, rest: Buffer) => void): void {
  let received = Buffer.alloc(0);
  socket.on("data", function read(chunk: Buffer) {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf("\r\n\r\n");
    if (end < 0 && received.byteLength < HEAD_BYTES_MAX) return;
    socket.off("data", read);
    socket.pause();
    onHead(received.toString("latin1", 0, end + 4), received.subarray(end + 4));
  });
}

function passOn(client: Socket, port: number, first: Buffer, open: Set<Socket>): void {
  const line = connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true });
  client.setNoDelay(true);
  open.add(line);
  line.on("close", () => open.delete(line));
  line.write(first);
  for (const [socket, other] of [
    [client, line],
    [line, client],
  ] as const) {
    socket.pipe(other);
    // An error needs no answer here: "close" follows it.
    socket.on("error", () => other.resetAndDestroy());
    socket.on("close", () => other.destroySoon());
  }
}

async function listen(serve: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the proxy of a member has no port");
  return { server, port: address.port };
}
