import { Agent, type IncomingMessage } from "node:http";
import { createEventBlocks, type EventBlock } from "../../../../client/event-blocks.ts";
import { WATCH_EVENTS, type WatchStatus } from "../../../../contract/watch.ts";
import { sleep } from "../../../../kernel/clock.ts";
import { messageOf } from "../../../../kernel/errors.ts";
import { open } from "../requests.ts";
import { beginRead, type Reader, type ReaderOptions } from "./reader.ts";

/** A resolver sends something every 15 s: one that is silent for longer is gone without a word. */
const SILENCE_MS_MAX = 20_000;
const PAUSE_MS = 1000;

/**
 * Watches one service by Server-Sent Events, without the SDK, which would leave out what is older. Each event is one
 * read, of the moment at which it came: the answer of `service`, 404 for `unknown`, and of `status` what it says of the
 * last one. A connection that fails or breaks is one, too, and is made again.
 */
export function createStreamReader(options: Omit<ReaderOptions, "services"> & { readonly service: string }): Reader {
  const { name, service, resolver, token, recorder, answers, clock, random } = options;
  const reads = { ...options, services: [service] };

  /** Of the last event, from which a broken stream is taken up. */
  let last: string | undefined;

  function take({ event, data = "" }: EventBlock): void {
    const begun = beginRead(reads, "stream", service);
    const read = { ...begun, to: begun.from };
    if (event === WATCH_EVENTS.service) recorder.record({ ...read, status: 200, ...answers.ofText(data) });
    if (event === WATCH_EVENTS.unknown) recorder.record({ ...read, status: 404, error: data.slice(0, 300) });
    if (event === WATCH_EVENTS.status) {
      const { stale, ageMs } = JSON.parse(data) as WatchStatus;
      recorder.record({ ...read, status: 200, stale, ageMs });
    }
  }

  /** One connection, until it ends. Rejects where it does not end as the protocol has it. */
  async function follow(agent: Agent, stop: AbortSignal): Promise<void> {
    const silence = new AbortController();
    const cut = () => silence.abort(new Error(`silent for ${SILENCE_MS_MAX} ms`));
    let cancel = clock.after(SILENCE_MS_MAX, cut);
    const signal = AbortSignal.any([stop, silence.signal]);
    let answer: IncomingMessage | undefined;
    try {
      const headers = { accept: "text/event-stream", authorization: `Bearer ${token}` };
      const url = `${resolver.url}/v1/services/${service}/watch`;
      const resumed = last === undefined ? {} : { "last-event-id": last };
      const call = { method: "GET", url, headers: { ...headers, ...resumed }, timeoutMs: SILENCE_MS_MAX, signal };
      answer = await open(agent, call);
      if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`);
      answer.setEncoding("utf8");
      const blocks = createEventBlocks();
      for await (const part of answer) {
        cancel();
        cancel = clock.after(SILENCE_MS_MAX, cut);
        for (const block of blocks.push(String(part))) {
          take(block);
          last = block.event === WATCH_EVENTS.unknown ? undefined : (block.id ?? last);
        }
      }
    } catch (error) {
      throw silence.signal.aborted ? silence.signal.reason : error;
    } finally {
      cancel();
      // An answer that is not read to its end keeps its connection open.
      answer?.destroy();
    }
  }

  return {
    name,
    async run(stop) {
      const agent = new Agent();
      while (!stop.aborted) {
        const begun = beginRead(reads, "stream", service);
        try {
          await follow(agent, stop);
        } catch (error) {
          if (!stop.aborted) recorder.record({ ...begun, to: recorder.at(), error: messageOf(error) });
        }
        await sleep(clock, PAUSE_MS * (0.5 + random()), stop);
      }
      agent.destroy();
    },
  };
}
