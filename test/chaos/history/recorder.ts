import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import type { Clock } from "../../../kernel/clock.ts";
import type { At, HistoryEvent } from "./event.ts";

/**
 * Some 150 to 200 events come in a second: this is an hour and a half, and some hundreds of megabytes. A history with a
 * hole in it would prove nothing, so the run ends instead.
 */
export const EVENTS_MAX = 1_000_000;

export interface Recorder {
  /** Now, as events tell it. */
  at(): At;
  /** Throws past EVENTS_MAX. */
  record(event: HistoryEvent): void;
  /** All so far, in the order in which they were learnt. */
  readonly events: readonly HistoryEvent[];
  close(): void;
}

export interface RecorderOptions {
  /** Of the file of JSON lines; what it held is gone. */
  readonly path: string;
  readonly clock: Pick<Clock, "monotonic">;
}

/** Keeps a history in memory, and in a file to which each event is written at once: a run that crashes leaves all of it. */
export function createRecorder({ path, clock }: RecorderOptions): Recorder {
  const file = openSync(path, "w");
  const beganAtMs = clock.monotonic();
  const events: HistoryEvent[] = [];
  let closed = false;
  return {
    at: () => rounded(clock.monotonic() - beganAtMs),
    record(event) {
      // What was under way when the run ended has nothing to tell any more.
      if (closed) return;
      if (events.length >= EVENTS_MAX) throw new Error(`a history holds ${EVENTS_MAX} events at most`);
      events.push(event);
      writeSync(file, `${JSON.stringify(event)}\n`);
    },
    events,
    close() {
      if (closed) return;
      closed = true;
      closeSync(file);
    },
  };
}

/** The history of a run. A last line that a crash cut off is left out; any other that is none throws. */
export function readHistory(path: string): readonly HistoryEvent[] {
  const lines = readFileSync(path, "utf8").split("\n");
  // After the last line break comes nothing, or what was cut off.
  lines.pop();
  return lines.map((line, index) => {
    const event = JSON.parse(line) as HistoryEvent | null;
    if (typeof event?.type !== "string") throw new SyntaxError(`line ${index + 1} is no event`);
    return event;
  });
}

/** Times to a hundredth of a millisecond: more digits would tell nothing, and be most of the file. */
function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
