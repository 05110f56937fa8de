import type { Departure } from "./departure.ts";
import type { Guard } from "./guard.ts";
import { compareWithStored, type StoredOptions } from "./stored.ts";

/**
 * Once a run, what is published is compared with etcd. `ahead`: until a claim has shut the last leader out. `comparing`:
 * what departs meanwhile waits to be judged with what the comparison finds. `done`: until the end of the run, since the
 * guard then knows better than Redis, which may lose what it has.
 */
type State =
  | { readonly type: "ahead" }
  | { readonly type: "comparing"; readonly departures: Departure[] }
  | { readonly type: "done" };

/** Hands a guard over from one leader to the next, and gives it what changes in between and afterwards. */
export interface Takeover {
  /** Another leader may have published since: the next comparison is made. */
  begin(): void;
  /**
   * Takes up what the last leader held and what it served that etcd has no more, once a run. To be called when nobody
   * else can write to Redis any more. `lastBeatMs`: when the last leader wrote last, by its own clock. Rejects when Redis
   * cannot be reached, and may then be called again.
   */
  compare(services: Iterable<string>, lastBeatMs: number): Promise<void>;
  /** These services changed in etcd, and this has departed from them unplanned. */
  changed(services: readonly string[], departures: readonly Departure[]): void;
}

export function createTakeover(guard: Guard, options: Omit<StoredOptions, "services">): Takeover {
  let state: State = { type: "ahead" };
  /** Of this run's first claim: what a later one finds is the time of our own claim before. */
  let lastBeatMsFirst: number | undefined;
  return {
    begin() {
      state = { type: "ahead" };
      lastBeatMsFirst = undefined;
    },
    async compare(services, lastBeatMs) {
      if (state.type === "done") return;
      lastBeatMsFirst ??= lastBeatMs;
      const departures: Departure[] = [];
      state = { type: "comparing", departures };
      const found = await compareWithStored({ ...options, services });
      state = { type: "done" };
      guard.takeUp(found.holds, lastBeatMsFirst);
      // Only the early ones have what was compared before it departed; where both have it, they know more.
      const early = new Set(departures.map(nameOf));
      guard.observe([...departures, ...found.departures.filter((departure) => !early.has(nameOf(departure)))]);
      guard.settle([...guard.services()]);
    },
    changed(services, departures) {
      if (state.type === "comparing") state.departures.push(...departures);
      if (state.type !== "done") return;
      guard.settle(services);
      guard.observe(departures);
    },
  };
}

function nameOf({ service, registration }: Departure): string {
  return `${service}/${registration.id}`;
}
