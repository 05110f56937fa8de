import type { LifeChange } from "../fleet/fleet.ts";
import type { LifeEvent, RunEvent } from "../history/event.ts";
import type { Recorder } from "../history/recorder.ts";

/** Records lives, the first of which begin before it is known what runs: the line that says so is the first all the same. */
export function recordLives(recorder: Recorder) {
  const waiting: LifeEvent[] = [];
  let begun = false;
  return {
    onLife(change: LifeChange): void {
      const event: LifeEvent = { type: "life", at: recorder.at(), ...change };
      if (begun) recorder.record(event);
      else waiting.push(event);
    },
    begin(run: RunEvent): void {
      begun = true;
      recorder.record(run);
      for (const event of waiting) recorder.record(event);
    },
  };
}
