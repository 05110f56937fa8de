import { sleep, type Clock } from "../../../kernel/clock.ts";
import { convergence, convergenceMs } from "../guarantees/convergence.ts";
import type { RunSettings } from "../history/event.ts";
import type { Look, States } from "../history/states.ts";
import type { Recorder } from "../history/recorder.ts";
import type { Instances } from "../traffic/instances.ts";

/** Past the bound that is checked: who agrees too late is told apart from who never does. */
const LATER_MS = 15_000;

export interface SettleOptions {
  readonly states: States;
  readonly instances: Instances;
  readonly recorder: Recorder;
  readonly settings: RunSettings;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Looks at who has what until all agree on what was answered to be done, or too much time is over. */
export async function settle(options: SettleOptions): Promise<void> {
  const { states, instances, recorder, settings, everyMs, clock, say, signal } = options;
  const givenUpMs = convergenceMs(settings) + LATER_MS;
  const startedAtMs = clock.monotonic();
  let look: Look | undefined;
  while (!signal.aborted) {
    const unsettled = instances.unsettled();
    look = await states.look();
    const waitedMs = clock.monotonic() - startedAtMs;
    // A copy, since checks remember what they have made of a history, and this one goes on.
    // Agreed, and on everything: a lease that was lost takes a while to be missed, and then etcd has less than it should.
    if (look.agree && unsettled.length === 0 && convergence.check([...recorder.events]).length === 0) {
      say(`all agree after ${(waitedMs / 1000).toFixed(1)} s`);
      return;
    }
    if (waitedMs > givenUpMs) {
      const failures = Object.entries(look.failures).map(([of, why]) => `${of}: ${why}`);
      say(`they do not agree; ${[...failures, ...unsettled].join(", ")}`);
      return;
    }
    await sleep(clock, everyMs, signal);
  }
}
