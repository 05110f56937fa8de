import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import { seededRandom } from "../support/random.ts";
import type { Timeline } from "./timeline.ts";

/** Milliseconds since the epoch at which a world begins. */
export const BEGIN_MS = Date.UTC(2026, 0, 1);

/** Before its clock began: no part may take a monotonic time for the age of anything. */
const MONOTONIC_ORIGIN_MS = 1_000_000;

/** What runs our code in a world: whatever reaches it comes through `deliver`, so that it can be stopped. */
export interface SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Runs it now, once it goes on, or never, if the process has been killed. */
  deliver(run: () => void): void;
  /** As SIGSTOP: nothing runs until `resume`, time goes on. */
  pause(): void;
  resume(): void;
  /** As SIGKILL. */
  kill(): void;
  isAlive(): boolean;
  isPaused(): boolean;
  /** Sets the wall clock ahead, or back, by so much in all. */
  skew(ms: number): void;
  /** Timers that are set. */
  timers(): number;
}

/** The numbers of one part of a world, which do not depend on how many another part draws. */
export function randomOf(seed: number, name: string): Random {
  let hash = 2_166_136_261 ^ seed;
  for (let index = 0; index < name.length; index++) hash = Math.imul(hash ^ name.charCodeAt(index), 16_777_619);
  const random = seededRandom(hash >>> 0);
  // The first numbers of neighbouring seeds are neighbours, too.
  for (let index = 0; index < 4; index++) random();
  return random;
}

export function createProcess(timeline: Timeline, seed: number, name: string): SimulatedProcess {
  const held: (() => void)[] = [];
  let state: "running" | "paused" | "killed" = "running";
  let skewMs = 0;
  let timers = 0;

  function deliver(run: () => void): void {
    if (state === "running") run();
    else if (state === "paused") held.push(run);
  }

  return {
    name,
    random: randomOf(seed, name),
    clock: {
      now: () => BEGIN_MS + Math.floor(timeline.nowMs()) + skewMs,
      monotonic: () => MONOTONIC_ORIGIN_MS + timeline.nowMs(),
      after(delayMs, run) {
        timers++;
        let isSet = true;
        const clear = () => {
          if (isSet) timers--;
          isSet = false;
        };
        const cancel = timeline.at(timeline.nowMs() + Math.max(0, delayMs), () =>
          deliver(() => {
            if (!isSet) return;
            clear();
            run();
          }),
        );
        return () => {
          clear();
          cancel();
        };
      },
    },
    deliver,
    pause() {
      if (state === "running") state = "paused";
    },
    resume() {
      if (state !== "paused") return;
      state = "running";
      // Each in a turn of its own, as an event loop that comes back to many of them has it.
      for (const run of held.splice(0)) timeline.at(timeline.nowMs(), () => deliver(run));
    },
    kill() {
      state = "killed";
      held.length = 0;
    },
    isAlive: () => state !== "killed",
    isPaused: () => state === "paused",
    skew(ms) {
      skewMs = ms;
    },
    timers: () => timers,
  };
}
