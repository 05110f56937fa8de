import type { Random } from "../../../kernel/random.ts";

/**
 * `steady` and `single` are up throughout, the second with one instance: the witnesses of what must never fail. `churn`
 * comes, changes, moves and goes one instance at a time; `zero` goes and comes back as a whole, on purpose.
 */
export type Kind = "steady" | "single" | "churn" | "zero";

/** How many services of each kind there are, and instances in each. */
export type Sizes = Readonly<Record<Kind, { readonly services: number; readonly instances: number }>>;

export const SIZES: Sizes = {
  steady: { services: 4, instances: 3 },
  single: { services: 3, instances: 1 },
  churn: { services: 5, instances: 5 },
  zero: { services: 3, instances: 3 },
};

/** Of a run of seconds. */
export const SIZES_SHORT: Sizes = {
  steady: { services: 2, instances: 3 },
  single: { services: 1, instances: 1 },
  churn: { services: 2, instances: 4 },
  zero: { services: 1, instances: 2 },
};

/** One instance, and where it begins. */
export interface Placement {
  readonly kind: Kind;
  readonly service: string;
  readonly instance: string;
  /** The index of its first agent. */
  readonly agent: number;
  /** Shown to be up by its own heartbeats, or by its agent's TCP checks. */
  readonly liveness: "heartbeat" | "tcp";
}

/** `return`: is up and registers, after any of those that took it away. */
export type Change = "weigh" | "move" | "drain" | "deregister" | "crash" | "return";

export interface Action {
  readonly service: string;
  readonly instance: string;
  readonly change: Change;
  /** Where it registers from now on. */
  readonly agent: number;
  readonly weight: number;
}

/** Instances of one service begin on different agents, as far as there are some: one agent's end takes no service along. */
export function placeInstances(sizes: Sizes, agents: number): readonly Placement[] {
  let next = 0;
  return (Object.keys(sizes) as Kind[]).flatMap((kind) =>
    Array.from({ length: sizes[kind].services }, (_, number) => {
      const service = `${kind}-${number}`;
      return Array.from({ length: sizes[kind].instances }, (__, index): Placement => {
        const agent = next++ % agents;
        return { kind, service, instance: `${service}-${index}`, agent, liveness: index % 2 ? "tcp" : "heartbeat" };
      });
    }).flat(),
  );
}

/** Of an instance that is up: how often each change is drawn, of 100. The rest changes its weight. */
const CHANCES: readonly (readonly [Change, number])[] = [
  ["crash", 15],
  ["deregister", 20],
  ["move", 25],
  ["drain", 10],
];
/** The part of the changes that scale a whole service to zero or back. */
const ZERO_CHANCE = 0.1;
const WEIGHT_MAX = 200;

export interface Changes {
  /** The next one, or, where a service goes or comes as a whole, those of all its instances. */
  next(): readonly Action[];
}

/** What churns, drawn from `random` alone: what becomes of a change has no say in the next, so a seed repeats them all. */
export function createChanges(placements: readonly Placement[], agents: number, random: Random): Changes {
  type Standing = "up" | "draining" | "away";
  const places = new Map<string, { agent: number; standing: Standing }>(
    placements.map(({ instance, agent }) => [instance, { agent, standing: "up" }]),
  );
  const churning = placements.filter(({ kind }) => kind === "churn");
  const scaled = [...Map.groupBy(placements, ({ kind, service }) => (kind === "zero" ? service : "")).entries()].filter(
    ([service]) => service !== "",
  );
  const draw = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];

  function changeOf(standing: Standing): Change {
    if (standing === "away") return "return";
    if (standing === "draining") return random() < 0.5 ? "return" : "deregister";
    let rest = random() * 100;
    for (const [change, chance] of CHANCES) {
      if (rest < chance) return change;
      rest -= chance;
    }
    return "weigh";
  }

  function act({ service, instance }: Placement, change: Change): Action {
    const place = places.get(instance);
    if (!place) throw new Error(`${instance} has no place`);
    // Another one, where there is another.
    if (change === "move") place.agent = (place.agent + 1 + Math.floor(random() * (agents - 1))) % agents;
    place.standing = change === "drain" ? "draining" : change === "deregister" || change === "crash" ? "away" : "up";
    return { service, instance, change, agent: place.agent, weight: 1 + Math.floor(random() * WEIGHT_MAX) };
  }

  return {
    next() {
      const service = random() < ZERO_CHANCE ? draw(scaled) : undefined;
      if (service) {
        const [, members] = service;
        const isUp = members.some(({ instance }) => places.get(instance)?.standing === "up");
        return members.map((member) => act(member, isUp ? "deregister" : "return"));
      }
      const one = draw(churning);
      if (!one) return [];
      return [act(one, changeOf(places.get(one.instance)?.standing ?? "up"))];
    },
  };
}
