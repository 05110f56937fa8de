import type { Clock } from "../../../../kernel/clock.ts";
import type { Random } from "../../../../kernel/random.ts";
import type { FleetProcess } from "../../fleet/fleet.ts";
import type { ReadEvent } from "../../history/event.ts";
import type { Recorder } from "../../history/recorder.ts";
import type { Answers } from "./answers.ts";

/** One that asks one resolver, again and again until it is stopped. */
export interface Reader {
  readonly name: string;
  /** Resolves when it has been stopped and what was under way has ended. */
  run(stop: AbortSignal): Promise<void>;
}

export interface ReaderOptions {
  readonly name: string;
  readonly resolver: FleetProcess;
  readonly token: string;
  readonly services: readonly string[];
  readonly recorder: Recorder;
  readonly answers: Answers;
  readonly clock: Clock;
  readonly random: Random;
}

/** What of a read is known before it is made. */
export function beginRead(
  { name, resolver, recorder }: ReaderOptions,
  by: ReadEvent["by"],
  service: string,
): Pick<ReadEvent, "type" | "reader" | "by" | "resolver" | "life" | "service" | "from"> {
  return {
    type: "read",
    reader: name,
    by,
    resolver: resolver.name,
    life: resolver.life(),
    service,
    from: recorder.at(),
  };
}

export function draw<T>(from: readonly T[], random: Random): T {
  const drawn = from[Math.floor(random() * from.length)];
  if (drawn === undefined) throw new Error("there is nothing to draw from");
  return drawn;
}
