import type { Random } from "../../../kernel/random.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { FrontMode } from "../fleet/upstash-front.ts";
import { choose } from "./draw.ts";
import type { Fault, FaultDetail } from "./fault.ts";

interface Way {
  readonly name: string;
  readonly about: string;
  readonly draw: (random: Random) => FrontMode;
}

const WAYS: readonly Way[] = [
  {
    name: "limited",
    about: "Upstash answers 429",
    draw: (random) => ({
      type: "status",
      status: 429,
      // A publisher honours up to a minute, which is longer than anything has to be whole again after a fault.
      ...choose(random, [{}, { retryAfterSeconds: 1 }, { retryAfterSeconds: 5 }]),
    }),
  },
  {
    name: "failing",
    about: "Upstash answers 5xx",
    draw: (random) => ({ type: "status", status: choose(random, [500, 502, 503, 504]) }),
  },
  {
    name: "slow",
    about: "Upstash answers late",
    draw: (random) => ({ type: "slow", delayMs: choose(random, [100, 240, 260, 1000, 5000]) }),
  },
  { name: "garbage", about: "Upstash answers 200 with what is no answer", draw: () => ({ type: "garbage" }) },
  { name: "cut", about: "Upstash's answers end in the middle of their body", draw: () => ({ type: "cut" }) },
];

export const UPSTASH_FAULTS: readonly Fault[] = WAYS.map(({ name, about, draw }) => ({
  name: `upstash-${name}`,
  about: `${about}: to all requests, or to some.`,
  touches: ["fronts"],
  async begin({ fronts }: Fleet, random: Random) {
    const struck = random() < 0.5 ? fronts : [choose(random, fronts)];
    const mode = draw(random);
    const share = choose(random, [0.3, 0.7, 1, 1]);
    const before = struck.map(({ front }) => front.spoilt());
    for (const { front } of struck) front.mode(mode, share, random);
    const { type: _, ...rest } = mode;
    const detail: FaultDetail = { ...rest, share };
    return {
      target: struck.length > 1 ? "*>gateway" : (struck[0]?.name ?? ""),
      detail,
      async end() {
        for (const { front } of struck) front.mode({ type: "pass" }, 0, random);
        return {
          ...detail,
          spoilt: struck.reduce((sum, { front }, at) => sum + front.spoilt() - (before[at] ?? 0), 0),
        };
      },
    };
  },
}));
