import type { Clock } from "../../../kernel/clock.ts";
import type { CatalogState } from "../catalog-state.ts";
import type { Departure } from "./departure.ts";
import type { Guard } from "./guard.ts";
import { compareWithStored, type StoredOptions } from "./stored.ts";

/**
 * Once after each other leader, what is published is compared with etcd. `ahead`: until a claim has shut that leader
 * out. `comparing`: what departs meanwhile waits to be judged with what the comparison finds. `done`: until the next
 * `begin`, since the guard then knows better than Redis, which may lose what it has.
 */
type State =
  | { readonly type: "ahead" }
  | { readonly type: "comparing"; readonly departures: Departure[] }
  | { readonly type: "done" };

/** Hands a guard over from one leader to the next, and gives it what changes in between and afterwards. */
export interface Takeover {
  /** Another leader may have published since: the guard is emptied, and the next comparison is made. */
  begin(): void;
  /**
   * Takes up what the last leader held and what it served that etcd has no more, once after each `begin`. To be called
   * when nobody else can write to Redis any more. `lastBeatMs`: when the last leader wrote last, by its own clock; undefined where
   * Redis has nothing of it, and what this process saw depart is all that is known. Rejects when Redis
   * cannot be reached, and may then be called again.
   */
  compare(services: Iterable<string>, lastBeatMs: number | undefined): Promise<void>;
  /** These services changed in etcd, and this has departed from them unplanned. */
  changed(services: readonly string[], departures: readonly Departure[]): void;
}

export interface TakeoverOptions extends Omit<StoredOptions, "services"> {
  readonly catalog: StoredOptions["catalog"] & Pick<CatalogState, "lost">;
  readonly clock: Pick<Clock, "monotonic">;
}

export function createTakeover(guard: Guard, options: TakeoverOptions): Takeover {
  let state: State = { type: "ahead" };
  /** Of the first claim since `begin`: what a later one finds is the time of our own claim before. */
  let first: { readonly lastBeatMs: number | undefined } | undefined;
  return {
    begin() {
      state = { type: "ahead" };
      first = undefined;
      guard.reset();
    },
    async compare(services, lastBeatMs) {
      if (state.type === "done") return;
      first ??= { lastBeatMs };
      const departures: Departure[] = [];
      state = { type: "comparing", departures };
      const found = await compareWithStored({ ...options, services });
      state = { type: "done" };
      if (first.lastBeatMs !== undefined) guard.takeUp(found.holds, first.lastBeatMs);
      const unseen = first.lastBeatMs === undefined ? lostOf(options) : found.departures;
      // Only the early ones have what was compared before it departed; where both have it, they know more.
      const early = new Set(departures.map(nameOf));
      guard.observe([...departures, ...unseen.filter((departure) => !early.has(nameOf(departure)))]);
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

/** What a standby saw depart while it followed: the leader that held it is gone, and what it wrote. */
function lostOf({ namespace, catalog, clock }: TakeoverOptions): Departure[] {
  const nowMs = clock.monotonic();
  return catalog.lost(namespace).map(({ departure, seenAtMs }) => ({ ...departure, agoMs: nowMs - seenAtMs }));
}

function nameOf({ service, registration }: Departure): string {
  return `${service}/${registration.id}`;
}
