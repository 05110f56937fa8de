import { choose } from "./draw.ts";
import type { Fault } from "./fault.ts";

/** From below a head's interval, past its freshness, to past what a signature is good for. */
const OFFSETS_MS = [1500, 12_000, 90_000, 6 * 60_000, 3 * 3_600_000, 26 * 3_600_000];

export const CLOCK_FAULTS: readonly Fault[] = (
  [
    ["forward", 1],
    ["back", -1],
  ] as const
).map(([way, sign]) => ({
  name: `clock-${way}`,
  about: `The wall clock of a resolver jumps ${way}, by seconds, minutes or hours, and then to what it was.`,
  // It can only be told to one that runs.
  touches: ["clocks", "resolvers"],
  async begin(fleet, random) {
    const { name } = choose(random, fleet.resolvers);
    const offsetMs = sign * choose(random, OFFSETS_MS);
    await fleet.setClockOffset(name, offsetMs);
    return { target: name, detail: { offsetMs }, end: () => fleet.setClockOffset(name, 0) };
  },
}));
