import { createClient, ResolveError } from "../../../../client/index.ts";
import { sleep } from "../../../../kernel/clock.ts";
import { messageOf } from "../../../../kernel/errors.ts";
import type { ReadEvent } from "../../history/event.ts";
import { beginRead, draw, type Reader, type ReaderOptions } from "./reader.ts";

/** Reads as functions do, by one client of the SDK for the whole run: what it falls back on is told by it, not by a resolver. */
export function createClientReader(options: ReaderOptions & { readonly everyMs: number }): Reader {
  const { name, resolver, token, services, everyMs, recorder, answers, clock, random } = options;
  const client = createClient({ url: resolver.url, token, random });

  async function resolve(service: string): Promise<Omit<ReadEvent, keyof ReturnType<typeof beginRead>>> {
    try {
      const { ageMs, stale, source, ...answer } = await client.resolve(service);
      const to = recorder.at();
      return { to, status: 200, ageMs, stale, source, ...answers.of(answer) };
    } catch (error) {
      const to = recorder.at();
      if (!(error instanceof ResolveError)) throw error;
      return {
        to,
        ...(error.code === "not_found" ? { status: 404 } : {}),
        error: `${error.code}: ${messageOf(error)}`,
      };
    }
  }

  return {
    name,
    async run(stop) {
      while (!stop.aborted) {
        const service = draw(services, random);
        const begun = beginRead(options, "client", service);
        recorder.record({ ...begun, ...(await resolve(service)) });
        await sleep(clock, everyMs * (0.5 + random()), stop);
      }
    },
  };
}
