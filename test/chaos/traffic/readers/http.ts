import { sleep } from "../../../../kernel/clock.ts";
import { messageOf } from "../../../../kernel/errors.ts";
import type { ReadEvent } from "../../history/event.ts";
import { createRequests, type Call } from "../requests.ts";
import { toldByHeaders } from "./answers.ts";
import { beginRead, draw, type Reader, type ReaderOptions } from "./reader.ts";

/** Well above what a lookup may take by its promise: one that hangs is then a long read, and not just a failed one. */
const TIMEOUT_MS = 5000;
/** Of a long poll; short, so that in a run of seconds many end by themselves. */
const WAIT_SECONDS = 3;

export interface HttpReaderOptions extends ReaderOptions {
  readonly everyMs: number;
  /** With `all` what is down is answered as well. */
  readonly health?: "all";
}

/** Looks services up, one after the other over one connection, at a steady pace unless an answer takes longer. */
export function createHttpReader(options: HttpReaderOptions): Reader {
  const { name, services, everyMs, health, clock, random } = options;
  const query = health === undefined ? "" : `?health=${health}`;
  return {
    name,
    async run(stop) {
      const requests = createRequests();
      // Those who read as often do not read at the same moments.
      let dueAtMs = clock.monotonic() + random() * everyMs;
      while (!stop.aborted) {
        await sleep(clock, Math.max(0, dueAtMs - clock.monotonic()), stop);
        if (stop.aborted) break;
        dueAtMs = Math.max(dueAtMs + everyMs, clock.monotonic());
        const service = draw(services, random);
        const begun = beginRead(options, "http", service);
        const send = (call: Call) => requests.send(call, { repeat: true });
        // A lookup that has begun is waited for: its answer counts also when the readers have been told to stop.
        const signal = new AbortController().signal;
        options.recorder.record({ ...begun, ...(await look(options, send, `${service}${query}`, TIMEOUT_MS, signal)) });
      }
      requests.close();
    },
  };
}

/** Waits, by long polls, for what changes in one service after the other: each for a few polls. */
export function createPollReader(options: ReaderOptions): Reader {
  const { name, services, clock, random } = options;
  return {
    name,
    async run(stop) {
      const requests = createRequests();
      const seen = new Map<string, number>();
      while (!stop.aborted) {
        const service = draw(services, random);
        const revision = seen.get(service);
        const query = revision === undefined ? "" : `?revision=${revision}&wait=${WAIT_SECONDS}s`;
        const begun = beginRead(options, "poll", service);
        const send = (call: Call) =>
          requests.send({ ...call, headers: { ...call.headers, accept: "application/json" } }, { repeat: true });
        const timeoutMs = WAIT_SECONDS * 1000 + TIMEOUT_MS;
        const told = await look(options, send, `${service}/watch${query}`, timeoutMs, stop);
        // It was cut off by us.
        if (stop.aborted && told.status === undefined) break;
        options.recorder.record({ ...begun, ...told });
        if (told.revision !== undefined) seen.set(service, told.revision);
        if (told.status !== 200) await sleep(clock, 500 * (1 + random()), stop);
      }
      requests.close();
    },
  };
}

/** One request; what came of it, and when. */
async function look(
  { resolver, token, recorder, answers }: ReaderOptions,
  send: (call: Call) => Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>,
  path: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Omit<ReadEvent, "type" | "reader" | "by" | "resolver" | "life" | "service" | "from">> {
  const headers = { authorization: `Bearer ${token}` };
  try {
    const url = `${resolver.url}/v1/services/${path}`;
    const { status, headers: told, text } = await send({ method: "GET", url, headers, timeoutMs, signal });
    const to = recorder.at();
    const fromHeaders = toldByHeaders(told);
    if (status !== 200) return { to, status, ...fromHeaders, error: text.slice(0, 300) };
    return { to, status, ...fromHeaders, ...answers.ofText(text) };
  } catch (error) {
    return { to: recorder.at(), error: messageOf(error) };
  }
}
