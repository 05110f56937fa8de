import type Range from "semver/classes/range.js";
import type { Instance, InstanceStatus } from "../contract/snapshot.ts";

/**
 * Which instances are eligible. `healthy`: `up`, and `suspect` in no case. `all`: every one. `healthy-or-all`: `up` and
 * `suspect`, or, if there are none, all but those `down`, which only `all` gives.
 */
export type Health = "healthy" | "all" | "healthy-or-all";

export const HEALTH_VALUES: readonly Health[] = ["healthy", "all", "healthy-or-all"];

/** What a caller asks for. Every condition must hold; what is left out holds for all. */
export interface Filters {
  /** Instances whose version is not a semantic version never match. */
  readonly version?: Range;
  readonly tags: readonly string[];
  readonly region?: string;
  readonly zone?: string;
  readonly metadata: readonly (readonly [key: string, value: string])[];
  readonly health: Health;
  /** Applied last. */
  readonly limit?: number;
}

/** What a request without parameters asks for; it is told from others by identity. */
export const NO_FILTERS: Filters = { tags: [], metadata: [], health: "healthy-or-all" };

const SERVED: readonly InstanceStatus[] = ["up", "suspect"];

/** The instances that match, in their order. */
export function select(instances: readonly Instance[], filters: Filters): readonly Instance[] {
  const matching = instances.filter((instance) => matches(instance, filters));
  const eligible = ofHealth(matching, filters.health);
  return filters.limit === undefined ? eligible : eligible.slice(0, filters.limit);
}

function matches(instance: Instance, { version, tags, region, zone, metadata }: Filters): boolean {
  if (region !== undefined && instance.region !== region) return false;
  if (zone !== undefined && instance.zone !== zone) return false;
  if (!tags.every((tag) => instance.tags.includes(tag))) return false;
  if (!metadata.every(([key, value]) => Object.hasOwn(instance.metadata, key) && instance.metadata[key] === value)) {
    return false;
  }
  return version === undefined || (instance.version !== undefined && version.test(instance.version));
}

function ofHealth(instances: readonly Instance[], health: Health): readonly Instance[] {
  switch (health) {
    case "all":
      return instances;
    case "healthy":
      return instances.filter(({ status }) => status === "up");
    case "healthy-or-all": {
      const served = instances.filter(({ status }) => SERVED.includes(status));
      return served.length > 0 ? served : instances.filter(({ status }) => status !== "down");
    }
  }
}
