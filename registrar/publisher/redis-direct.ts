import { createClient, ErrorReply } from "@redis/client";
import { createBackoff } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import { DeadlineExceeded, within } from "../../kernel/deadline.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import {
  answerTimeoutMs,
  isUnknownScript,
  redisRefusal,
  redisUnreachable,
  scriptHash,
  timeReplyMs,
} from "./redis-errors.ts";
import type { SnapshotStore } from "./store.ts";

/** Of a connection, with its authentication. */
const CONNECT_TIMEOUT_MS = 3000;
/**
 * Of a small command. Lower, and a Redis that saves its data fails commands; higher, and a dead connection holds up
 * publishing for as long.
 */
const COMMAND_TIMEOUT_MS = 3000;
/** Commands waiting for an answer; far above what the publisher has under way, so that it only stops a defect. */
const QUEUE_MAX = 256;
/** Between tries to connect. */
const CONNECT_BACKOFF = { baseMs: 50, capMs: 1000 };

export interface DirectStoreOptions {
  /** `redis://` or `rediss://`, with user and password where Redis wants them. */
  readonly url: string;
  readonly clock: Clock;
  readonly random: Random;
}

type Client = ReturnType<typeof newClient>;

/** `closed`: until the next call after `retryAtMs`. `open`: until it fails, or an answer is overdue. */
type Connection =
  | { readonly type: "closed"; readonly retryAtMs: number }
  | { readonly type: "open"; readonly client: Client; readonly ready: Promise<unknown> };

/**
 * Redis over one connection, made by the first call and again by the first one after it was lost. Nothing is queued
 * while there is none: calls then reject with `unavailable`. Throws `invalid_argument` when `url` is not one.
 */
export function createDirectStore({ url, clock, random }: DirectStoreOptions): SnapshotStore {
  if (!/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
    throw new FingerpostError("invalid_argument", "The Redis URL must begin with redis:// or rediss://.");
  }
  const backoff = createBackoff({ ...CONNECT_BACKOFF, random });
  let connection: Connection = { type: "closed", retryAtMs: -Infinity };

  function drop(client: Client): void {
    if (connection.type === "open" && connection.client === client) {
      connection = { type: "closed", retryAtMs: clock.monotonic() + backoff.next() };
    }
    if (client.isOpen) client.destroy();
  }

  function open(): Extract<Connection, { type: "open" }> {
    if (connection.type === "open") return connection;
    if (clock.monotonic() < connection.retryAtMs) throw redisUnreachable(url, "waiting before the next connection");
    const client = newClient(url);
    // Whoever waits for an answer is told by it; nobody else needs to be.
    client.on("error", () => drop(client));
    const ready = within(clock, CONNECT_TIMEOUT_MS, "The connection", client.connect()).then(() => backoff.reset());
    connection = { type: "open", client, ready };
    return connection;
  }

  async function call<T>(run: (client: Client) => Promise<T>, bytes = 0): Promise<T> {
    const { client, ready } = open();
    try {
      await ready;
      return await within(clock, answerTimeoutMs(COMMAND_TIMEOUT_MS, bytes), "The command", run(client));
    } catch (error) {
      if (error instanceof ErrorReply) {
        // An error of the connection's set-up is Redis' as well, and leaves nothing to go on with.
        if (!client.isReady) drop(client);
        throw redisRefusal(messageOf(error));
      }
      // What a lost answer was, and what comes after it on this connection, cannot be known.
      drop(client);
      throw redisUnreachable(url, error instanceof DeadlineExceeded ? "no answer in time" : "the connection failed");
    }
  }

  return {
    timeMs: () => call(async (client) => timeReplyMs(await client.sendCommand<string[]>(["TIME"]))),
    evaluate: (script, keys, args) =>
      call(async (client) => {
        const parameters = { keys: [...keys], arguments: [...args] };
        try {
          return await client.evalSha(scriptHash(script), parameters);
        } catch (error) {
          if (!isUnknownScript(messageOf(error))) throw error;
          return client.eval(script, parameters);
        }
      }, sizeOf(args)),
    async close() {
      const last = connection;
      // Nobody calls any more; a late call must not open a connection that nobody closes.
      connection = { type: "closed", retryAtMs: Infinity };
      if (last.type === "open" && last.client.isOpen) last.client.destroy();
    },
  };
}

function sizeOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}

function newClient(url: string) {
  return createClient({
    url,
    RESP: 2,
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false },
    disableOfflineQueue: true,
    commandsQueueMaxLength: QUEUE_MAX,
    disableClientInfo: true,
    maintNotifications: "disabled",
  });
}
