import type { Registration } from "../../../contract/registration.ts";
import type { Random } from "../../../kernel/random.ts";
import type { Guard } from "./guard.ts";
import type { ProbeResult } from "./hold.ts";
import { ROUNDS_REFUSED_LAST } from "./limits.ts";

/** Instances of one service that are told apart by their position; a power of two that keeps the order exact. */
const POSITIONS_MAX = 2 ** 14;

/** What is held, as far as probes are concerned. */
export type ProbedGuard = Pick<Guard, "services" | "held" | "isLast">;

export interface HeldTarget {
  readonly service: string;
  readonly id: string;
  readonly registration: Registration;
}

/** Whose turn it is to be probed, where more is held than a round can probe. */
export interface Turns {
  /**
   * As many as `targetsMax`: those whose turn is under way, then those whose last was longest ago; among these the
   * services one by one, those first of which nothing else is left.
   */
  next(guard: ProbedGuard, targetsMax: number): readonly HeldTarget[];
  /** What a target's probe came to; undefined when it said nothing. */
  probed(registration: Registration, result: ProbeResult | undefined): void;
}

/** `rounds`: in a row that did not answer, of the turn under way. `endedAt`: the number of the last that is over. */
interface Turn {
  rounds: number;
  endedAt: number;
}

/**
 * A turn is as many rounds in a row as may end a hold, and is over with an answer: one probe of each of a hundred thousand
 * would end none of them.
 */
export function createTurns(random: Random): Turns {
  const turns = new WeakMap<Registration, Turn>();
  let ended = 0;
  return {
    next(guard, targetsMax) {
      const queued: { readonly target: HeldTarget; readonly order: number }[] = [];
      for (const service of guard.services()) {
        const last = guard.isLast(service) ? 0 : 1;
        let position = 0;
        for (const [id, { registration }] of guard.held(service)) {
          const turn = turns.get(registration);
          const endedAt = turn === undefined ? 0 : turn.rounds > 0 ? -1 : turn.endedAt;
          // One number, since to compare several of each took half as long again with a hundred thousand.
          const order = ((endedAt + 1) * POSITIONS_MAX + Math.min(position++, POSITIONS_MAX - 1)) * 2 + last + random();
          queued.push({ target: { service, id, registration }, order });
        }
      }
      if (queued.length > targetsMax) queued.sort((a, b) => a.order - b.order);
      return queued.slice(0, targetsMax).map(({ target }) => target);
    },
    probed(registration, result) {
      const { rounds, endedAt } = turns.get(registration) ?? { rounds: 0, endedAt: 0 };
      const isOver = result === undefined || result === "answered" || rounds + 1 >= ROUNDS_REFUSED_LAST;
      turns.set(registration, isOver ? { rounds: 0, endedAt: ++ended } : { rounds: rounds + 1, endedAt });
    },
  };
}
