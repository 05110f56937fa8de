import type { Clock } from "../../../kernel/clock.ts";
import type { Recorder } from "./recorder.ts";

const TICK_MS = 50;
/** A timer that is later than this stood in a queue: what was measured meanwhile is no fault of the fleet's. */
const STALL_MS = 250;

/** Records when this process stood still: its times then tell of the machine, and not of the fleet. Gives how to end it. */
export function watchStalls(recorder: Recorder, clock: Clock): () => void {
  let tickedAt = recorder.at();
  let cancel = clock.after(TICK_MS, tick);

  function tick(): void {
    const at = recorder.at();
    if (at - tickedAt - TICK_MS > STALL_MS) recorder.record({ type: "stall", from: tickedAt, to: at });
    tickedAt = at;
    cancel = clock.after(TICK_MS, tick);
  }

  return () => cancel();
}
