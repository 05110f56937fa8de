import type { Clock } from "../kernel/clock.ts";
import { watchParents } from "./parents.ts";

/**
 * A terminal's Ctrl-C reaches us twice through npm, once from the terminal and once passed on: only a later signal is
 * an impatient one.
 */
const ECHO_MS = 1500;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Lifetime {
  /** Aborted by the first signal, or when who started us is gone; the reason is a sentence. */
  readonly signal: AbortSignal;
  close(): void;
}

export interface LifetimeOptions {
  readonly clock: Clock;
  /** Goes on when the process that started us ends. */
  readonly stay: boolean;
  readonly throughNpm: boolean;
  /** A second signal, for an end that hangs. */
  readonly onImpatient: () => void;
}

/** How long this process is wanted. */
export function createLifetime({ clock, stay, throughNpm, onImpatient }: LifetimeOptions): Lifetime {
  const controller = new AbortController();
  let abortedAt = 0;
  const abort = (reason: string) => {
    if (controller.signal.aborted) return;
    abortedAt = clock.monotonic();
    controller.abort(reason);
  };
  const onSignal = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) abort(name);
    else if (name !== "SIGHUP" && clock.monotonic() - abortedAt > ECHO_MS) onImpatient();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  const cancel = stay
    ? undefined
    : watchParents({ clock, throughNpm, onGone: () => abort("the process that started it is gone") });
  return {
    signal: controller.signal,
    close() {
      cancel?.();
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}
