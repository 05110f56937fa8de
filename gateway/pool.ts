import { FingerpostError, messageOf } from "../kernel/errors.ts";
import type { Log } from "../node/log.ts";
import type { Command } from "./command.ts";
import { createConnection, type Abilities, type ConnectionOptions } from "./connection.ts";
import type { Reply } from "./reply.ts";

export interface PoolOptions extends Pick<ConnectionOptions, "url" | "requestTimeoutMs" | "clock" | "random"> {
  readonly size: number;
  readonly log: Log;
}

export interface Pool {
  /** undefined while no connection can be used. */
  abilities(): Abilities | undefined;
  /** As `Connection.send`, on the connection with the least to do. */
  send(commands: readonly Command[]): Promise<Reply[]>;
  close(): Promise<void>;
}

/** Connections of one Redis user, shared by all requests: nothing that would change one gets as far as here. */
export function createPool({ size, log, ...options }: PoolOptions): Pool {
  let problemTold = false;
  const connections = Array.from({ length: size }, () =>
    createConnection({
      ...options,
      onReady() {
        if (problemTold || usable().length === 1) log.info("connected to Redis");
        problemTold = false;
      },
      onLost(cause) {
        // Once an outage: every connection fails every few seconds until it is over.
        if (problemTold || usable().length > 0) return;
        problemTold = true;
        log.warn({ cause: messageOf(cause) }, "Redis is not reachable; trying again until it is");
      },
    }),
  );
  const usable = () => connections.filter((connection) => connection.abilities() !== undefined);

  return {
    abilities: () => usable()[0]?.abilities(),
    async send(commands) {
      const [first, ...others] = usable();
      if (!first) throw new FingerpostError("unavailable", "Redis is not reachable.", { retryAfterSeconds: 1 });
      const idlest = others.reduce((best, next) => (next.pending() < best.pending() ? next : best), first);
      return await idlest.send(commands);
    },
    async close() {
      await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}
