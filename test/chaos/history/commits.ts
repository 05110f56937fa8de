import { createClient } from "@redis/client";
import { decodeHead } from "../../../contract/head.ts";
import { headKey } from "../../../contract/redis-keys.ts";
import { sleep, type Clock } from "../../../kernel/clock.ts";
import type { RedisServer } from "../fleet/fleet.ts";
import type { CommitEvent } from "./event.ts";
import type { Recorder } from "./recorder.ts";

/** Soon enough that little is missed of a server that comes back; a server that is gone costs ten refusals a second. */
const RECONNECT_MS = 100;

const HEAD_KEY = /^fp:\{(.+)\}:head$/;

/**
 * Records every head that comes into one of the servers, as its own MONITOR tells: by a publisher's script into a master,
 * by replication into a replica. What is written between a server's start and the connection to it is missed. Gives how
 * to end it.
 */
export function watchCommits(servers: readonly RedisServer[], recorder: Recorder, clock: Clock): () => Promise<void> {
  const stopping = new AbortController();
  const watching = servers.map((server) => watchServer(server, recorder, clock, stopping.signal));
  return async () => {
    stopping.abort();
    await Promise.all(watching);
  };
}

async function watchServer(server: RedisServer, recorder: Recorder, clock: Clock, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    const client = createClient({ url: server.adminUrl, socket: { reconnectStrategy: false } });
    const ended = new Promise<void>((resolve) => {
      client.on("error", () => resolve());
      client.on("end", () => resolve());
      stop.addEventListener("abort", () => resolve(), { once: true });
    });
    const monitoring = (async () => {
      await client.connect();
      await client.monitor((line) => {
        const commit = parseCommit(line);
        if (commit) recorder.record({ type: "commit", at: recorder.at(), server: server.name, ...commit });
      });
    })();
    // It fails where the server is gone, which is tried again.
    await Promise.race([monitoring.then(() => ended), ended]).catch(() => undefined);
    if (client.isOpen) client.destroy();
    await monitoring.catch(() => undefined);
    await sleep(clock, RECONNECT_MS, stop);
  }
}

/** What a line of MONITOR says was committed, if it is a head that was stored: `1700000000.000001 [0 lua] "SET" …`. */
export function parseCommit(line: string): Pick<CommitEvent, "namespace" | "epoch" | "revision"> | undefined {
  // Most lines are none, and some are long.
  if (!line.includes(":head")) return undefined;
  const [command = "", key = "", text] = argumentsOf(line);
  const namespace = HEAD_KEY.exec(key)?.[1];
  if (command.toUpperCase() !== "SET" || namespace === undefined || text === undefined) return undefined;
  if (key !== headKey(namespace)) return undefined;
  try {
    const { epoch, revision } = decodeHead(text, namespace);
    return { namespace, epoch, revision };
  } catch {
    // Somebody else's text under the head's name: no publisher has committed it.
    return undefined;
  }
}

/** The arguments of the command of a line, unescaped: Redis writes what is no printable ASCII as C does. */
function argumentsOf(line: string): readonly string[] {
  const begin = line.indexOf("] ") + 2;
  return [...line.slice(begin).matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) => unescaped(text));
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", a: "\u0007", b: "\b" };

function unescaped(text: string): string {
  if (!text.includes("\\")) return text;
  // Bytes first, since a character may be several of them.
  const bytes = text.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, escape: string | undefined) =>
    hex === undefined ? (ESCAPES[escape ?? ""] ?? escape ?? "") : String.fromCodePoint(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}
