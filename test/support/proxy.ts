import { createServer, connect, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

export interface Proxy {
  readonly port: number;
  /** How many connections are open now. */
  connections(): number;
  /** On: connections are taken and stay open, and no byte passes. Off: what was held back flows on. */
  blackhole(on: boolean): void;
  /** Leads new connections to another port, as an address does that moves to another server. */
  target(port: number): void;
  /** Cuts every open connection with a RST. */
  reset(): void;
  /** On: new connections are refused. Open ones stay. */
  refuse(on: boolean): Promise<void>;
  /** From now on each chunk towards the target arrives `ms` later, as on a long line: that slows nothing behind it. */
  latencyMs(ms: number): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly target: Socket;
}

export interface ProxyOptions {
  /** One of 127.0.0.0/8, by which the target tells those who come through here from others. */
  readonly localAddress?: string;
}

/** A TCP proxy on 127.0.0.1 in front of `targetPort`, for the faults a network makes. */
export async function startProxy(targetPort: number, options: ProxyOptions = {}): Promise<Proxy> {
  const pairs = new Set<Pair>();
  let silent = false;
  let delayMs = 0;
  let portNow = targetPort;

  const serve = (client: Socket) => {
    const target = connect({ ...options, host: "127.0.0.1", port: portNow, noDelay: true });
    client.setNoDelay(true);
    const pair = { client, target };
    pairs.add(pair);
    // In a chain, so that a chunk never overtakes the one before it.
    let sent = Promise.resolve();
    client.on("data", (chunk) => {
      const dueMs = performance.now() + delayMs;
      sent = sent.then(async () => {
        const waitMs = dueMs - performance.now();
        if (waitMs > 0) await pause(waitMs);
        if (target.writable) target.write(chunk);
      });
    });
    target.on("data", (chunk) => {
      if (client.writable) client.write(chunk);
    });
    client.on("end", () => void sent.then(() => target.end()));
    target.on("end", () => client.end());
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      // An error needs no answer here: "close" follows it, and takes the other side along.
      socket.on("error", () => other.resetAndDestroy());
      socket.on("close", () => {
        other.destroySoon();
        if (client.closed && target.closed) pairs.delete(pair);
      });
    }
    if (silent) pausePair(pair);
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
    blackhole(on) {
      silent = on;
      for (const pair of pairs) (on ? pausePair : resumePair)(pair);
    },
    target(to) {
      portNow = to;
    },
    reset() {
      for (const { client, target } of pairs) {
        client.resetAndDestroy();
        target.resetAndDestroy();
      }
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
      delayMs = ms;
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

function pausePair({ client, target }: Pair): void {
  client.pause();
  target.pause();
}

function resumePair({ client, target }: Pair): void {
  client.resume();
  target.resume();
}
