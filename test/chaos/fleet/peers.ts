import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { makeLine, type Context } from "./context.ts";
import type { Line } from "./fleet.ts";

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
 * address it is looked up whose connection this is, and it goes on over the line of the two.
 */
export async function startPeerLines(
  context: Context,
  members: readonly PeerAddress[],
  pidOf: (name: string) => number | undefined,
): Promise<PeerLines> {
  const fronts = new Map<string, { readonly server: Server; readonly port: number }>();
  const open = new Set<Socket>();
  for (const to of members) {
    const lines = new Map<string, Line>();
    for (const from of members) {
      if (from !== to) lines.set(from.name, await makeLine(context, `${from.name}>${to.name}`, to.peerPort));
    }
    const serve = (socket: Socket) => {
      const from = [...lines.keys()].find((name) => holdsPort(pidOf(name), socket.remotePort ?? 0));
      const line = lines.get(from ?? "");
      // Its process has ended, or it is none of the members.
      if (!line) socket.resetAndDestroy();
      else passOn(socket, line.proxy.port, open);
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
  for (const [socket, other] of [
    [client, line],
    [line, client],
  ] as const) {
    open.add(socket);
    socket.pipe(other);
    // An error needs no answer here: "close" follows it.
    socket.on("error", () => other.resetAndDestroy());
    socket.on("close", () => {
      open.delete(socket);
      other.destroySoon();
    });
  }
}

/** Whether a process has a connection that begins at this port of 127.0.0.1; Linux only. */
function holdsPort(pid: number | undefined, port: number): boolean {
  if (pid === undefined) return false;
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (fields[1] === local && fields[9] !== undefined && fields[9] !== "0") return hasSocket(pid, fields[9]);
  }
  return false;
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
