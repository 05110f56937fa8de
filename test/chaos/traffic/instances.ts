import type { Clock } from "../../../kernel/clock.ts";
import { seededRandom } from "../../support/random.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { Recorder } from "../history/recorder.ts";
import { createKeeper, type Keeper } from "./keeper.ts";
import { createListener } from "./listener.ts";
import { createChanges, placeInstances, SIZES, type Placement, type Sizes } from "./plan.ts";
import { createRequests } from "./requests.ts";

/** Enough that every fault meets some, few enough for two cores that run a fleet besides. */
const CHANGES_PER_SECOND_DEFAULT = 1.5;

/** What the services of a run do: instances with real listeners, each kept registered at one of the agents. */
export interface Instances {
  readonly placements: readonly Placement[];
  readonly services: readonly string[];
  /** Brings all of them up. */
  begin(): void;
  /** Changes from now on, drawn from the seed. */
  startChanges(): void;
  /** No further change. What is crashed stays so, what drains goes, what is registered stays. */
  stopChanges(): void;
  /** Instances whose agents do not have them yet as they want to be had; none once all requests are answered. */
  unsettled(): readonly string[];
  /** Ends them as processes that are killed. */
  close(): Promise<void>;
}

export interface InstancesOptions {
  readonly fleet: Pick<Fleet, "agents">;
  readonly recorder: Recorder;
  readonly seed: number;
  readonly clock: Clock;
  readonly sizes?: Sizes;
  readonly changesPerSecond?: number;
}

export function createInstances(options: InstancesOptions): Instances {
  const { fleet, recorder, seed, clock, sizes = SIZES, changesPerSecond = CHANGES_PER_SECOND_DEFAULT } = options;
  const placements = placeInstances(sizes, fleet.agents.length);
  const requests = createRequests();
  const random = seededRandom(seed);
  const changes = createChanges(placements, fleet.agents.length, random);
  const keepers = new Map<string, Keeper>(
    placements.map((placement, index) => {
      const listener = createListener(process.pid, index);
      // Of its own: how long a request takes must not change what is drawn for others.
      const jitter = seededRandom(seed + index + 1);
      const shared = { agents: fleet.agents, recorder, requests, clock };
      return [placement.instance, createKeeper({ placement, listener, random: jitter, ...shared })];
    }),
  );
  let cancel = () => {};

  function planNext(): void {
    // As changes come that know nothing of each other (a Poisson process).
    cancel = clock.after((-Math.log(1 - random()) * 1000) / changesPerSecond, () => {
      for (const action of changes.next()) keepers.get(action.instance)?.act(action);
      planNext();
    });
  }

  return {
    placements,
    services: [...new Set(placements.map(({ service }) => service))],
    begin() {
      for (const keeper of keepers.values()) keeper.begin();
    },
    startChanges: planNext,
    stopChanges: () => cancel(),
    unsettled: () => [...keepers.values()].filter((one) => !one.settled()).map(({ placement }) => placement.instance),
    async close() {
      cancel();
      await Promise.all([...keepers.values()].map((keeper) => keeper.close()));
      requests.close();
    },
  };
}
