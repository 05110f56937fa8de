import { sleep, type Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { describeExit, type Child } from "./child.ts";

/** Long enough to watch what the others do without it. */
export const RESTART_DELAY_MS = 15_000;

export interface Part {
  readonly name: string;
  /** Of the process that runs now, or that ran last. */
  readonly pid: number;
  /** Ends the process and starts it no more. */
  close(): Promise<void>;
}

export interface PartOptions {
  readonly name: string;
  /** Starts the process and resolves once it is ready; ends it and rejects when the signal aborts. */
  readonly start: (signal: AbortSignal) => Promise<Child>;
  readonly clock: Clock;
  /** Told when the process ended unasked, and what is done about it. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Starts a process and keeps it: one that ends unasked is announced and started again after RESTART_DELAY_MS, as often
 * as it takes, since people and tests kill parts to see the others go on. Rejects when the first start fails.
 */
export async function keepRunning({ name, start, clock, say, signal }: PartOptions): Promise<Part> {
  const closing = new AbortController();
  const stop = AbortSignal.any([signal, closing.signal]);
  let child = await start(signal);

  const restart = async (): Promise<void> => {
    await sleep(clock, RESTART_DELAY_MS, stop);
    while (!stop.aborted) {
      try {
        child = await start(stop);
        say(`${name} runs again, pid ${child.pid}`);
        return;
      } catch (error) {
        if (stop.aborted) return;
        say(`${name} could not be started again; next try in ${RESTART_DELAY_MS / 1000} s: ${messageOf(error)}`);
        await sleep(clock, RESTART_DELAY_MS, stop);
      }
    }
  };
  const watch = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const exit = await child.exited;
      if (stop.aborted) return;
      say(`${name} (pid ${child.pid}) ${describeExit(exit)}; it is started again in ${RESTART_DELAY_MS / 1000} s`);
      await restart();
    }
  };
  const watching = watch();
  return {
    name,
    get pid() {
      return child.pid;
    },
    async close() {
      closing.abort();
      await child.end();
      await watching;
      // The restart that was under way may have got through just before.
      await child.end();
    },
  };
}
