import { createServer, connect, type Server, type Socket } from "node:net";
import type { Random } from "../../kernel/random.ts";
import { startFlow, type LineShape } from "./flow.ts";

/** `requests` is what is sent towards the target, `answers` what comes back. */
export type Direction = "requests" | "answers";

export interface Proxy {
  readonly port: number;
  /** How many connections are open now. */
  connections(): number;
  /**
   * On: connections are taken and stay open, and no byte passes; with a direction, none that way. Off: what was held
   * back flows on.
   */
  blackhole(on: boolean, only?: Direction): void;
  /** Leads new connections to another port, as an address does that moves to another server. */
  target(port: number): void;
  /** Cuts every open connection with a RST. */
  reset(): void;
  /** On: new connections are refused. Open ones stay. */
  refuse(on: boolean): Promise<void>;
  /** From now on each chunk towards the target arrives `ms` later, as on a long line: that slows nothing behind it. */
  latencyMs(ms: number): void;
  /** From now on each chunk, either way, goes as over a line like this; undefined is one with nothing to tell of. */
  shape(shape: LineShape | undefined): void;
  /**
   * From now on each connection is reset once it has passed on a number of bytes drawn from 1 to `bytesMax`, whatever it
   * is in the middle of; undefined stops that.
   */
  cutWithin(bytesMax: number | undefined, random: Random): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly target: Socket;
  /** What it may still pass on before it is cut; without an end unless told otherwise. */
  bytesLeft: number;
}

export interface ProxyOptions {
  /** One of 127.0.0.0/8, by which the target tells those who come through here from others. */
  readonly localAddress?: string;
}

/** A TCP proxy on 127.0.0.1 in front of `targetPort`, for the faults a network makes. */
export async function startProxy(targetPort: number, options: ProxyOptions = {}): Promise<Proxy> {
  const pairs = new Set<Pair>();
  const silent: Record<Direction, boolean> = { requests: false, answers: false };
  let requestsDelayMs = 0;
  let shape: LineShape | undefined;
  let bytesToCut = () => Infinity;
  let portNow = targetPort;

  const serve = (client: Socket) => {
    const target = connect({ ...options, host: "127.0.0.1", port: portNow, noDelay: true });
    client.setNoDelay(true);
    const pair: Pair = { client, target, bytesLeft: bytesToCut() };
    pairs.add(pair);
    const admit = (bytes: number) => {
      const passes = Math.min(bytes, pair.bytesLeft);
      pair.bytesLeft -= passes;
      return passes;
    };
    const cut = () => resetPair(pair);
    const requestsShape = () =>
      shape ?? (requestsDelayMs > 0 ? { latencyMs: requestsDelayMs, random: () => 0 } : undefined);
    const requested = startFlow({ from: client, to: target, shape: requestsShape, admit, cut });
    const answered = startFlow({ from: target, to: client, shape: () => shape, admit, cut });
    for (const [socket, other, passedOn] of [
      [client, target, requested],
      [target, client, answered],
    ] as const) {
      // An error needs no answer here: "close" follows it, and takes the other side along.
      socket.on("error", () => other.resetAndDestroy());
      socket.on("close", () => {
        void passedOn().then(() => other.destroySoon());
        if (client.closed && target.closed) pairs.delete(pair);
      });
    }
    hush(pair);
  };
  const hush = ({ client, target }: Pair) => {
    if (silent.requests) client.pause();
    else client.resume();
    if (silent.answers) target.pause();
    else target.resume();
  };

  const listening = async (port: number): Promise<Server> => {
    const server = createServer({ allowHalfOpen: true }, serve);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port }, resolve);
    });
    return server;
  };
  // A server's close also waits for its open connections, while its port is free at once: nobody waits for it here.
  let server: Server | undefined = await listening(0);
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the proxy has no port");
  const { port } = address;

  return {
    port,
    connections: () => pairs.size,
    blackhole(on, only) {
      for (const direction of only ? [only] : (["requests", "answers"] as const)) silent[direction] = on;
      for (const pair of pairs) hush(pair);
    },
    target(to) {
      portNow = to;
    },
    reset() {
      for (const pair of pairs) resetPair(pair);
    },
    async refuse(on) {
      if (on) {
        server?.close();
        server = undefined;
      } else {
        server ??= await listening(port);
      }
    },
    latencyMs(ms) {
      requestsDelayMs = ms;
    },
    shape(to) {
      shape = to;
    },
    cutWithin(bytesMax, random) {
      bytesToCut = () => (bytesMax === undefined ? Infinity : 1 + Math.floor(random() * bytesMax));
      for (const pair of pairs) pair.bytesLeft = bytesToCut();
    },
    async close() {
      const closing = server;
      server = undefined;
      const closed = new Promise<void>((resolve) => {
        if (closing) closing.close(() => resolve());
        else resolve();
      });
      for (const { client, target } of pairs) {
        client.destroy();
        target.destroy();
      }
      await closed;
    },
  };
}

function resetPair({ client, target }: Pair): void {
  client.resetAndDestroy();
  target.resetAndDestroy();
}
