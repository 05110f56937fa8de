import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { makeLine, type Context } from "./context.ts";
import type { Line } from "./fleet.ts";

/** Of requests between members: who sends it. */
const SENDER = /^x-server-from: *(\S+)/im;
/** Of a request between members; they are far shorter. */
const HEAD_BYTES_MAX = 16 * 1024;

export interface PeerAddress {
  readonly name: string;
  /** Where it listens for the others. */
  readonly peerPort: number;
}

export interface PeerLines {
  /** Where the others are to reach a member. */
  portOf(name: string): number;
  close(): Promise<void>;
}

/**
 * A line for each ordered pair of members. etcd lets a member have one address for all of its peers, so behind that
 * address it is found out whose connection this is, and it goes on over the line of the two.
 */
export async function startPeerLines(
  context: Context,
  members: readonly PeerAddress[],
  pidOf: (name: string) => number | undefined,
): Promise<PeerLines> {
  const fronts = new Map<string, { readonly server: Server; readonly port: number }>();
  const open = new Set<Socket>();
  /** Members by the id that they call themselves. */
  const names = new Map<string, string>();
  const senderOf = (head: string, socket: Socket) => {
    const id = SENDER.exec(head)?.[1];
    const known = names.get(id ?? "");
    if (known !== undefined) return known;
    const name = members.find((one) => holdsPort(pidOf(one.name), socket.remotePort ?? 0))?.name;
    if (id !== undefined && name !== undefined) names.set(id, name);
    return name;
  };
  for (const to of members) {
    const lines = new Map<string, Line>();
    for (const from of members) {
      if (from !== to) lines.set(from.name, await makeLine(context, `${from.name}>${to.name}`, to.peerPort));
    }
    const serve = (socket: Socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      // "close" follows an error.
      socket.on("error", () => undefined);
      readHead(socket, (head) => {
        const line = lines.get(senderOf(head, socket) ?? "");
        // Its process has ended, or it is none of the members.
        if (!line) socket.resetAndDestroy();
        else passOn(socket, line.proxy.port, open);
      });
    };
    fronts.set(to.name, await listen(serve));
  }
  return {
    portOf: (name) => fronts.get(name)?.port ?? 0,
    async close() {
      const closed = [...fronts.values()].map(
        ({ server }) => new Promise<void>((resolve) => server.close(() => resolve())),
      );
      for (const socket of open) socket.destroy();
      await Promise.all(closed);
    },
  };
}

function passOn(client: Socket, port: number, open: Set<Socket>): void {
  const line = connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true });
  client.setNoDelay(true);
  open.add(line);
  line.on("close", () => open.delete(line));
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

/** Calls back with the head of the first request of a connection, which stays to be read. */
function readHead(socket: Socket, onHead: (head: string) => void): void {
  const chunks: Buffer[] = [];
  socket.on("data", function read(chunk: Buffer) {
    chunks.push(chunk);
    const received = Buffer.concat(chunks);
    if (!received.includes("\r\n\r\n") && received.byteLength < HEAD_BYTES_MAX) return;
    socket.off("data", read);
    socket.pause();
    socket.unshift(received);
    onHead(received.toString("latin1"));
  });
}

/**
 * Whether a process has a connection that begins at this port of 127.0.0.1; Linux only. The kernel lists those of all
 * processes, which takes long where there are many: it is asked only for what says nothing of itself.
 */
function holdsPort(pid: number | undefined, port: number): boolean {
  if (pid === undefined) return false;
  const listed = readFileSync("/proc/net/tcp", "latin1");
  const at = listed.indexOf(`: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} `);
  if (at < 0) return false;
  // proc(5): after the number of the line come two addresses, and seven fields later the inode.
  const inode = listed.slice(at, listed.indexOf("\n", at)).trim().split(/\s+/)[9];
  return inode !== undefined && inode !== "0" && hasSocket(pid, inode);
}

function hasSocket(pid: number, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
  } catch {
    // The process ended since.
    return false;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // It was closed since.
    return undefined;
  }
}

async function listen(serve: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the front of a member has no port");
  return { server, port: address.port };
}
