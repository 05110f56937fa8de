import type { Random } from "../../kernel/random.ts";
import type { SimulatedProcess } from "./process.ts";
import type { Timeline } from "./timeline.ts";

/** What a network does to requests; each is the part of them that it happens to. */
export interface Weather {
  /** The request is lost before it takes effect. */
  readonly lossBefore: number;
  /** It takes effect, and its answer is lost. */
  readonly lossAfter: number;
  /** It takes effect twice, the second time later. */
  readonly duplicates: number;
  /** It takes effect, or is answered, up to `lateMs` later than others: so they overtake each other. */
  readonly late: number;
  readonly lateMs: number;
}

export const FAIR: Weather = { lossBefore: 0, lossAfter: 0, duplicates: 0, late: 0, lateMs: 0 };

const LATENCY_MS_MIN = 0.5;
const LATENCY_MS_MAX = 4;

/** From one process to one server. */
export interface Link {
  weather: Weather;
  /** Nothing reaches the server, and nobody hears so. */
  cut: boolean;
  /** The most requests that have waited for their answers at a time. */
  waitingMax(): number;
  /**
   * Has `effect` take place at the server some time later, or twice, or never, and gives what it gave or threw. Rejects
   * after `timeoutMs` with `timedOut()`; the effect may come all the same, then or later.
   */
  call<T>(effect: () => T, timeoutMs: number, timedOut: () => Error): Promise<T>;
}

export interface LinkOptions {
  readonly timeline: Timeline;
  readonly process: SimulatedProcess;
  readonly random: Random;
}

export function createLink({ timeline, process, random }: LinkOptions): Link {
  let waiting = 0;
  let waitingMax = 0;

  function latencyMs({ late, lateMs }: Weather): number {
    const usual = LATENCY_MS_MIN + random() * (LATENCY_MS_MAX - LATENCY_MS_MIN);
    return late > 0 && random() < late ? usual + random() * lateMs : usual;
  }

  const link: Link = {
    weather: FAIR,
    cut: false,
    waitingMax: () => waitingMax,
    call(effect, timeoutMs, timedOut) {
      return new Promise((resolve, reject) => {
        const { weather } = link;
        let isOver = false;
        const end = (settle: () => void) => {
          if (isOver) return;
          isOver = true;
          waiting--;
          cancelTimeout();
          settle();
        };
        waitingMax = Math.max(waitingMax, ++waiting);
        const cancelTimeout = process.clock.after(timeoutMs, () => end(() => reject(timedOut())));
        const answer = (settle: () => void) => {
          if (link.cut || (weather.lossAfter > 0 && random() < weather.lossAfter)) return;
          timeline.at(timeline.nowMs() + latencyMs(weather), () => process.deliver(() => end(settle)));
        };
        const takeEffect = () => {
          if (link.cut) return;
          try {
            const result = effect();
            answer(() => resolve(result));
          } catch (error) {
            answer(() => reject(error));
          }
        };
        if (link.cut || (weather.lossBefore > 0 && random() < weather.lossBefore)) return;
        const copies = weather.duplicates > 0 && random() < weather.duplicates ? 2 : 1;
        for (let copy = 0; copy < copies; copy++) {
          timeline.at(timeline.nowMs() + latencyMs(weather) + copy * random() * weather.lateMs, takeEffect);
        }
      });
    },
  };
  return link;
}
