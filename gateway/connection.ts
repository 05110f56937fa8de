import { createClient, ErrorReply, RESP_TYPES } from "@redis/client";
import { createBackoff } from "../kernel/backoff.ts";
import { sleep, type Clock } from "../kernel/clock.ts";
import { DeadlineExceeded, within } from "../kernel/deadline.ts";
import { FingerpostError } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { readCommandTable, type CommandTable } from "./access.ts";
import type { Command } from "./command.ts";
import { CONNECT_TIMEOUT_MS, RECONNECT_BASE_MS, RECONNECT_CAP_MS } from "./limits.ts";
import type { Reply } from "./reply.ts";

/** What a server lets its user do, asked on each connection: the server behind a name may have been replaced. */
export interface Abilities {
  /** undefined when this user may not run COMMAND. */
  readonly commands: CommandTable | undefined;
  /** Whether this user may run MULTI and EXEC: a MULTI that is refused would leave what follows it to run on its own. */
  readonly transactions: boolean;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly onReady: () => void;
  /** Called at each end of a connection and each failed attempt. */
  readonly onLost: (cause: unknown) => void;
}

export interface Connection {
  /** undefined while there is no connection. */
  abilities(): Abilities | undefined;
  /** Commands that wait for their reply. */
  pending(): number;
  /**
   * Sends commands in order and in one write, with nothing of anybody else between them. Resolves with one reply a
   * command; an error of Redis is a reply. Throws `unavailable` without a connection, when it is lost, or after
   * `requestTimeoutMs`: commands that were sent may have run.
   */
  send(commands: readonly Command[]): Promise<Reply[]>;
  /** Gives up commands that wait for their reply, and waits for an attempt to connect that is under way. */
  close(): Promise<void>;
}

type Client = ReturnType<typeof createRedisClient>;

type State =
  /** Until a connection stands and has told its abilities; attempts are paced by the backoff. */
  | { readonly type: "connecting" }
  /** Until the socket ends, a request takes too long (`end`), or the owner closes. */
  | {
      readonly type: "ready";
      readonly client: Client;
      readonly abilities: Abilities;
      readonly end: (cause: Error) => void;
    };

/** Keeps one connection to Redis: replaces it when it is lost or has gone silent, and fails at once in between. */
export function createConnection(options: ConnectionOptions): Connection {
  const { url, requestTimeoutMs, clock, random, onReady, onLost } = options;
  const closing = new AbortController();
  const backoff = createBackoff({ baseMs: RECONNECT_BASE_MS, capMs: RECONNECT_CAP_MS, random });
  // Never connected. The package makes a class with all commands for each new set of options and keeps the last one: two
  // users in turn would cost some megabytes of garbage with each attempt.
  const pattern = createRedisClient(url);
  let state: State = { type: "connecting" };
  let pending = 0;

  /** The life of one connection, from the attempt to its end, which is what it rejects with. */
  async function live(): Promise<never> {
    const client = pattern.duplicate();
    const { promise: ended, reject: end } = Promise.withResolvers<never>();
    client.on("error", end);
    const close = () => end(new Error("The gateway is closing."));
    closing.signal.addEventListener("abort", close);
    const connecting = client.connect();
    try {
      await Promise.race([within(clock, 2 * CONNECT_TIMEOUT_MS, "Connecting to Redis", connecting), ended]);
      const asked = within(clock, CONNECT_TIMEOUT_MS, "Asking Redis for its commands", askAbilities(client));
      const abilities = await Promise.race([asked, ended]);
      state = { type: "ready", client, abilities, end };
      backoff.reset();
      onReady();
      return await ended;
    } finally {
      state = { type: "connecting" };
      closing.signal.removeEventListener("abort", close);
      client.destroy();
      // The client cannot cut a TCP connection that is still being made: wait for it (it is bounded), then cut it.
      await Promise.allSettled([connecting]);
      client.destroy();
    }
  }

  async function keepAlive(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await live();
      } catch (error) {
        if (!closing.signal.aborted) onLost(error);
      }
      await sleep(clock, backoff.next(), closing.signal);
    }
  }
  const kept = keepAlive();

  return {
    abilities: () => (state.type === "ready" ? state.abilities : undefined),
    pending: () => pending,
    async send(commands) {
      if (state.type !== "ready") throw unavailable("Redis is not reachable.");
      const { client, end } = state;
      pending += commands.length;
      try {
        const replies = Promise.all(commands.map((command) => ask(client, command)));
        return await within(clock, requestTimeoutMs, "A request to Redis", replies);
      } catch (error) {
        if (error instanceof DeadlineExceeded) {
          end(error);
          throw unavailable("Redis did not answer in time; what was asked may have been done.", error);
        }
        throw unavailable("The connection to Redis was lost; what was asked may have been done.", error);
      } finally {
        pending -= commands.length;
      }
    },
    async close() {
      closing.abort();
      await kept;
    },
  };
}

function createRedisClient(url: string) {
  return createClient({
    url,
    RESP: 2,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled",
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false },
    commandOptions: {
      // A command taken back on its own could leave half a transaction behind: a whole request has one deadline.
      timeout: 0,
      typeMapping: {
        [RESP_TYPES.NUMBER]: String,
        [RESP_TYPES.SIMPLE_STRING]: Buffer,
        [RESP_TYPES.BLOB_STRING]: Buffer,
      },
    },
  });
}

/** An error of Redis is a reply like others; only a connection that fails rejects. */
async function ask(client: Client, command: Command): Promise<Reply> {
  try {
    return await client.sendCommand<Reply>(command);
  } catch (error) {
    if (error instanceof ErrorReply) return error;
    throw error;
  }
}

async function askAbilities(client: Client): Promise<Abilities> {
  const [commands, multi, exec] = await Promise.all([
    ask(client, ["COMMAND"]),
    ask(client, ["MULTI"]),
    ask(client, ["EXEC"]),
  ]);
  // While it loads its data Redis answers COMMAND, but nothing that callers want.
  const loading = [commands, multi, exec].find((reply) => reply instanceof ErrorReply && isPassing(reply));
  if (loading instanceof ErrorReply) throw loading;
  return {
    commands: commands instanceof ErrorReply ? undefined : readCommandTable(commands),
    transactions: !(multi instanceof ErrorReply) && !(exec instanceof ErrorReply),
  };
}

/** Errors of a server that is on its way up or over to another: the same command may succeed in a moment. */
export function isPassing(error: ErrorReply): boolean {
  return /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b/.test(error.message);
}

function unavailable(message: string, cause?: unknown): FingerpostError {
  return new FingerpostError("unavailable", message, { retryAfterSeconds: 1, cause });
}
