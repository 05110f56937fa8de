import type { Clock } from "../../../kernel/clock.ts";
import { seededRandom } from "../../support/random.ts";
import type { Fleet, FleetProcess } from "../fleet/fleet.ts";
import type { Recorder } from "../history/recorder.ts";
import { createAnswers } from "./readers/answers.ts";
import { createClientReader } from "./readers/client.ts";
import { createHttpReader, createPollReader } from "./readers/http.ts";
import type { Reader } from "./readers/reader.ts";
import { createStreamReader } from "./readers/stream.ts";

/** By HTTP and the SDK together, over all resolvers: what two cores do beside a whole fleet. */
const READS_PER_SECOND_DEFAULT = 80;
/** How the reads of one resolver are shared out. */
const SHARES = { http: 0.55, all: 0.15, client: 0.3 };
/** Services that one resolver's streams watch: of each kind some. */
const STREAMS_MAX = 6;

/** Those who look services up, at every resolver and in every way. */
export interface Readers {
  /** They read from now on. */
  start(): void;
  /** Resolves when none reads any more, and what was under way has been answered. They may be started again. */
  stop(): Promise<void>;
}

export interface ReadersOptions {
  readonly fleet: Pick<Fleet, "resolvers" | "lookupToken">;
  readonly recorder: Recorder;
  readonly services: readonly string[];
  readonly seed: number;
  readonly clock: Clock;
  readonly readsPerSecond?: number;
}

export function createReaders(options: ReadersOptions): Readers {
  const { fleet, recorder, services, seed, clock, readsPerSecond = READS_PER_SECOND_DEFAULT } = options;
  const answers = createAnswers();
  let readersMade = 0;
  const perResolver = readsPerSecond / fleet.resolvers.length;
  const everyMs = (share: number) => 1000 / (perResolver * share);

  function readersOf(resolver: FleetProcess): readonly Reader[] {
    const { name: of } = resolver;
    const common = (name: string) => {
      const random = seededRandom(seed + ++readersMade);
      return { name: `${name}-${of}`, resolver, token: fleet.lookupToken, services, recorder, answers, clock, random };
    };
    // Those of one kind have names that differ in a number only, so the first and the last ones are of several kinds.
    const watched = services.filter((_, index) => index % Math.ceil(services.length / STREAMS_MAX) === 0);
    return [
      createHttpReader({ ...common("http"), everyMs: everyMs(SHARES.http / 2) }),
      createHttpReader({ ...common("http-again"), everyMs: everyMs(SHARES.http / 2) }),
      createHttpReader({ ...common("http-all"), everyMs: everyMs(SHARES.all), health: "all" }),
      createClientReader({ ...common("client"), everyMs: everyMs(SHARES.client) }),
      createPollReader(common("poll")),
      ...watched.map((service) => createStreamReader({ ...common(`stream-${service}`), service })),
    ];
  }

  const readers = fleet.resolvers.flatMap(readersOf);
  let stopping = new AbortController();
  let running: Promise<unknown> | undefined;
  return {
    start() {
      if (running) return;
      stopping = new AbortController();
      running = Promise.all(readers.map((reader) => reader.run(stopping.signal)));
    },
    async stop() {
      stopping.abort();
      await running;
      running = undefined;
    },
  };
}
