import type { Random } from "../../../kernel/random.ts";
import { seededRandom } from "../../support/random.ts";
import { between, choose, shuffled } from "./draw.ts";
import type { Fault, Planned } from "./fault.ts";

export interface ScheduleOptions {
  readonly seed: number;
  /** Every fault has ended by then. */
  readonly durationMs: number;
  /** To draw from. */
  readonly faults: readonly Fault[];
  /** Long faults, and some of the calm between them, are longer than this. */
  readonly leaseTtlMs: number;
}

/** Of faults that come together. */
const TOGETHER_MAX = 3;
const ALONE_SHARE = 0.55;
/** Between the beginnings of those that come together. */
const APART_MS_MAX = 1500;
/** Before the first, so that it meets traffic that runs. */
const LEAD_IN_MS_MAX = 1000;
const SHORTEST_MS = 200;

/**
 * Faults alone and together, with calm between them, some of it long enough for everything to recover. Every fault comes
 * once before one comes again, so that a long run leaves none out. A pure function of its options.
 */
export function drawSchedule({ seed, durationMs, faults, leaseTtlMs }: ScheduleOptions): readonly Planned[] {
  const random = seededRandom(seed);
  const planned: Planned[] = [];
  let deck: Fault[] = [];
  const draw = (beside: readonly Fault[]): Fault | undefined => {
    if (deck.length === 0) deck = shuffled(random, faults, ({ weight = 1 }) => weight);
    const at = deck.findIndex((fault) => !beside.some((other) => clash(fault, other)));
    return at < 0 ? undefined : deck.splice(at, 1)[0];
  };

  let atMs = between(random, 0, Math.min(LEAD_IN_MS_MAX, Math.floor(durationMs / 10)));
  while (atMs + SHORTEST_MS <= durationMs && faults.length > 0) {
    const together: Fault[] = [];
    const wanted = random() < ALONE_SHARE ? 1 : between(random, 2, TOGETHER_MAX);
    let endMs = atMs;
    for (let beginMs = atMs; together.length < wanted; beginMs += between(random, 0, APART_MS_MAX)) {
      const roomMs = durationMs - beginMs;
      const fault = roomMs < SHORTEST_MS ? undefined : draw(together);
      if (!fault) break;
      together.push(fault);
      const lastsMs = Math.min(roomMs, drawDurationMs(random, leaseTtlMs));
      planned.push({
        id: planned.length,
        name: fault.name,
        atMs: beginMs,
        durationMs: lastsMs,
        seed: between(random, 0, 2 ** 31 - 1),
      });
      endMs = Math.max(endMs, beginMs + lastsMs);
    }
    atMs = endMs + drawCalmMs(random, leaseTtlMs);
  }
  return planned;
}

/** Shorter than any timeout, about as long as most, and past the lease. */
function drawDurationMs(random: Random, leaseTtlMs: number): number {
  const [least, most] = choose(random, [
    [SHORTEST_MS, 1000],
    [1000, leaseTtlMs],
    [1000, leaseTtlMs],
    [leaseTtlMs, 2.5 * leaseTtlMs],
  ] as const);
  return between(random, least, Math.max(least, most));
}

function drawCalmMs(random: Random, leaseTtlMs: number): number {
  return random() < 0.25 ? between(random, leaseTtlMs, 2 * leaseTtlMs) : between(random, 300, leaseTtlMs / 2);
}

/** Whether what one does would undo or hide what the other does. */
export function clash(one: Fault, other: Fault): boolean {
  return one.touches.some((touched) => other.touches.includes(touched));
}
