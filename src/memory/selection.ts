import { satisfies, type SemVerRange } from "verkit/range";
import type { Instance, InstanceStatus } from "../../contract/snapshot.ts";
import { groupsByDistance, type Place } from "./near.ts";

/**
 * Which instances are eligible. `healthy`: `up`, and `suspect` in no case. `all`: every one. `healthy-or-all`: `up` and
 * `suspect`, or, if there are none, all but those `down`, which only `all` gives.
 */
export type Health = "healthy" | "all" | "healthy-or-all";

export const HEALTH_VALUES: readonly Health[] = ["healthy", "all", "healthy-or-all"];

/** What a caller asks for. Every condition must hold; what is left out holds for all. */
export interface Filters {
  /** Instances whose version is not a semantic version never match. */
  readonly version?: SemVerRange;
  readonly tags: readonly string[];
  readonly region?: string;
  readonly zone?: string;
  readonly metadata: readonly (readonly [key: string, value: string])[];
  readonly health: Health;
  /** A zone or region, or `auto`: orders what matches, and leaves nothing out. */
  readonly near?: string;
  /** Applied last. */
  readonly limit?: number;
}

/** What a request without parameters asks for; it is told from others by identity. */
export const NO_FILTERS: Filters = { tags: [], metadata: [], health: "healthy-or-all" };

const SERVED: readonly InstanceStatus[] = ["up", "suspect"];

/** The instances that match: in their order, or the nearest to `place` first. */
export function select(instances: readonly Instance[], filters: Filters, place?: Place): readonly Instance[] {
  const matching = instances.filter((instance) => matches(instance, filters));
  const eligible = ofHealth(matching, filters.health);
  const ordered = place === undefined ? eligible : groupsByDistance(eligible, instances, place).flat();
  return filters.limit === undefined ? ordered : ordered.slice(0, filters.limit);
}

/**
 * What a pick chooses from: what is selected, or, near a place, the nearest group of it in which anything is healthy
 * and has a weight; so traffic leaves a zone only when nothing there would take it.
 */
export function candidatesOf(instances: readonly Instance[], filters: Filters, place?: Place): readonly Instance[] {
  const selected = select(instances, filters, place);
  if (place === undefined) return selected;
  const groups = groupsByDistance(selected, instances, place);
  const healthy = groups.filter((group) => group.some(isServed));
  return healthy.find((group) => group.some((one) => isServed(one) && one.weight > 0)) ?? healthy[0] ?? groups[0] ?? [];
}

function isServed({ status }: Instance): boolean {
  return SERVED.includes(status);
}

function matches(instance: Instance, { version, tags, region, zone, metadata }: Filters): boolean {
  if (region !== undefined && instance.region !== region) return false;
  if (zone !== undefined && instance.zone !== zone) return false;
  if (!tags.every((tag) => instance.tags.includes(tag))) return false;
  if (!metadata.every(([key, value]) => Object.hasOwn(instance.metadata, key) && instance.metadata[key] === value)) {
    return false;
  }
  return version === undefined || (instance.version !== undefined && satisfies(instance.version, version));
}

function ofHealth(instances: readonly Instance[], health: Health): readonly Instance[] {
  switch (health) {
    case "all":
      return instances;
    case "healthy":
      return instances.filter(({ status }) => status === "up");
    case "healthy-or-all": {
      const served = instances.filter(isServed);
      return served.length > 0 ? served : instances.filter(({ status }) => status !== "down");
    }
  }
}
